"""A link on which nothing happens: no restart, no file, no processor time to speak of; then one packet, found at once.

STENO_QUIET_SECONDS sets how long it is silent (12 by default, 1800 to be thorough).
"""
import os
import time
import unittest

import lab

SECONDS = int(os.environ.get("STENO_QUIET_SECONDS", "12"))


class QuietLink(unittest.TestCase):
    def names(self, one):
        """Everything in the packet directory with its size, hidden files too."""
        directory = one.threads[0]["PacketsDirectory"]
        return {name: os.stat(os.path.join(directory, name)).st_blocks * 512 for name in os.listdir(directory)}

    def test_silence_and_then_one_packet(self):
        # Files are due for rotation several times meanwhile, however short the silence.
        with lab.Lab(flags=["--fileage_sec=3"]) as one:
            [pid] = one.stenotypes()
            before = self.names(one)
            begin = time.monotonic()
            while time.monotonic() - begin < SECONDS:
                time.sleep(1)
                self.assertEqual(one.stenotypes(), [pid], "the same process all the time")
            after = self.names(one)
            self.assertEqual([name for name in after if not name.startswith(".")], [], "no file for silence")
            self.assertEqual(len(after), len(before), "as many hidden files as at the start")
            self.assertEqual(one.counter("packets"), 0)
            self.assertEqual(one.get("/readyz").status, 200)

            lab.send([lab.udp4("10.9.8.7", "10.1.1.1", 4321, 53)])
            sent = time.monotonic()
            lab.wait_for(lambda: len(one.packets("host 10.9.8.7")) == 1, 2, "the packet")
            print("silent for %d s; the packet was found after %.2f s" % (SECONDS, time.monotonic() - sent))
            self.assertEqual(one.stenotypes(), [pid])
            self.assertEqual(one.stats()["stenotype_starts"], 1)
            self.assertEqual(one.lost(), 0)
            lab.wait_for(lambda: any(not name.startswith(".") for name in self.names(one)), 10, "its file to be published")
            self.assertLess(one.stop(), 2, "seconds to stop on a quiet link")
            one.start()
            self.assertEqual(len(one.packets("host 10.9.8.7")), 1)


if __name__ == "__main__":
    lab.enter()
    lab.main()
