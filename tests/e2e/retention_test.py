"""2 GiB recorded into a 256 MiB disk (a loop mount; needs 300 MB of space): recording never fails, the configured share stays free
within one file, and the oldest files go first."""
import os
import subprocess
import threading
import time
import unittest

import lab
from loss_test import made_capture

DISK = 256 << 20
TOTAL = 2 << 30
FREE_PERCENT = 20
FILE_BYTES = 16 << 20


class DiskRetention(unittest.TestCase):
    def test_small_disk(self):
        one = lab.Lab(start=False, flags=["--filesize_mb=%d" % (FILE_BYTES >> 20)])
        disk, image = one.root + "/disk", one.root + "/image"
        os.mkdir(disk)
        with open(image, "wb") as file:
            file.truncate(DISK)
        lab.run(["mkfs.ext4", "-q", "-m", "0", image])
        mounted = subprocess.run(["mount", "-o", "loop", image, disk], capture_output=True, text=True)
        if mounted.returncode != 0:
            self.skipTest("no loop mount here: " + mounted.stderr.strip())
        try:
            self.record(one, disk)
        finally:
            one.kill()
            subprocess.run(["umount", "-l", disk])

    def record(self, one, disk):
        one.threads[0].update(PacketsDirectory=disk + "/pkt0", IndexDirectory=disk + "/idx0", DiskFreePercentage=FREE_PERCENT)
        with open(one.config_path, "w") as file:
            lab.json.dump(one.config, file)
        made = made_capture(one.root + "/made.pcap")
        lowest, oldest, stop = [100.0], [], threading.Event()

        def watch():
            while not stop.wait(0.05):
                info = os.statvfs(disk)
                names = sorted(n for n in os.listdir(disk + "/pkt0") if not n.startswith("."))
                if names:
                    lowest[0] = min(lowest[0], 100.0 * info.f_bavail / info.f_blocks)
                    if not oldest or oldest[-1] != names[0]:
                        oldest.append(names[0])

        with one:
            one.start()
            watcher = threading.Thread(target=watch)
            watcher.start()
            sent = 0
            begin = time.monotonic()
            while one.counter("stored_bytes") < TOTAL:
                sent += lab.replay([made], "--pps", "100000", "--loops", "5")["sent"]
                one.wait_stored(sent)
                self.assertLess(time.monotonic() - begin, 400)
            stop.set()
            watcher.join()
            print("sent=%d stored=%d lost=%d bytes=%d lowest free=%.1f %% files deleted>=%d" % (
                sent, one.counter("stored_packets"), one.lost(), one.counter("stored_bytes"), lowest[0], len(oldest) - 1))
            self.assertEqual(one.lost(), 0)
            self.assertEqual(one.counter("write_errors"), 0)
            # Two files of slack: the one being written and the one prepared ahead are preallocated whole.
            self.assertGreater(lowest[0], FREE_PERCENT - 2 * 100.0 * FILE_BYTES / DISK)
            self.assertEqual(oldest, sorted(oldest), "the oldest go first")
            self.assertGreater(len(oldest), 10)
            self.assertGreater(len(one.packets("last=1h")), 0)


if __name__ == "__main__":
    lab.enter()
    lab.main()
