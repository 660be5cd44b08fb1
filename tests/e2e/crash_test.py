"""kill -9 of either program during a replay loses nothing that was written, deletes nothing, and recording goes on."""
import os
import signal
import subprocess
import time
import unittest

import lab
from loss_test import made_capture


class Crash(unittest.TestCase):
    def start_replay(self, one, pps=20_000, loops=5):
        made = made_capture(one.root + "/made.pcap")
        return subprocess.Popen([lab.BIN + "/replay", "tx0", made, "--pps", str(pps), "--loops", str(loops)],
                                stdout=subprocess.PIPE, text=True)

    def test_stenotype_killed(self):
        with lab.Lab() as one:
            sender = self.start_replay(one)
            lab.wait_for(lambda: one.counter("stored_packets") > 20_000, 20, "the first packets")
            before = {p[2] for p in one.packets("last=1h")}
            count_before = len(one.packets("last=1h"))
            old = one.stenotypes()
            os.kill(old[0], signal.SIGKILL)
            killed = time.monotonic()
            lab.wait_for(lambda: one.stenotypes() and one.stenotypes() != old and one.get("/readyz").status == 200, 2,
                         "stenotype to run again within 2 s")
            print("runs again after %.2f s" % (time.monotonic() - killed))
            lab.wait_for(lambda: len(one.packets("last=1h")) >= count_before, 2, "what was written before to be found")
            answer = one.packets("last=1h")
            self.assertTrue(before <= {p[2] for p in answer})
            sender.wait()
            lab.wait_for(lambda: one.counter("stored_packets") > 0, 10, "packets after the restart")
            lab.send([lab.udp4("77.77.77.77", "1.2.3.4", 1, 2)])
            lab.wait_for(lambda: len(one.packets("ip=77.77.77.77")) == 1, 3, "a packet after the restart")
            one.stop()
            one.start()
            self.assertGreaterEqual(len(one.packets("last=1h")), count_before + 1)

    def test_stenographer_killed(self):
        with lab.Lab() as one:
            sender = self.start_replay(one)
            lab.wait_for(lambda: one.counter("stored_packets") > 20_000, 20, "the first packets")
            count_before = len(one.packets("last=1h"))
            one.process.kill()
            one.process.wait()
            lab.wait_for(lambda: not one.stenotypes(), 5, "stenotype to end with its server")
            sender.wait()
            one.start()
            found = len(one.packets("last=1h"))
            print("found %d packets after the restart, %d before the kill" % (found, count_before))
            self.assertGreaterEqual(found, count_before)

    def test_indexes_come_back(self):
        """A file that a crash left without an index is indexed again in the background, with the same answers."""
        with lab.Lab() as one:
            lab.send([lab.udp4("77.77.77.%d" % i, "1.2.3.4", 1, 2) for i in range(1, 200)])
            lab.wait_for(lambda: one.counter("stored_packets") >= 199, 5, "the packets")
            os.kill(one.stenotypes()[0], signal.SIGKILL)
            lab.wait_for(lambda: len(one.packets("ip=77.77.77.7")) == 1, 3, "the packet after the crash")
            lab.wait_for(lambda: os.listdir(one.root + "/idx0"), 30, "the index to be built again")
            self.assertEqual(len(one.packets("ip=77.77.77.7")), 1)
            self.assertEqual(len(one.packets("ip=1.2.3.4")), 199)


if __name__ == "__main__":
    lab.enter()
    lab.main()
