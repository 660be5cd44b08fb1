"""Retention's limits, each with the files that are left, exactly: age, bytes, number; times that are wrong; what cannot or must not
be deleted."""
import fcntl
import os
import shutil
import subprocess
import tempfile
import time
import unittest

import lab
from retention_lab import MB, MINUTE, Keeper, Pair, now, settles

HOUR = 60 * MINUTE


class Limits(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.mkdtemp(prefix="steno-e2e-", dir="/var/tmp")
        self.addCleanup(shutil.rmtree, self.root, True)
        self.pair = Pair(self.root + "/data")

    def add(self, names, size=8192, **options):
        for name in names:
            self.pair.add(name, size, **options)

    def test_age(self):
        base = now()
        self.add([base - hours * HOUR for hours in (90, 60, 37, 35, 2)])
        self.pair.add(base - 40 * HOUR, 8192, last=base - 3 * HOUR)  # copied three hours ago: the next file's name tells
        with Keeper(self.pair, MaxAge="36h") as one:
            kept = [base - 35 * HOUR, base - 2 * HOUR]
            self.assertEqual([name for name, cause in one.would_delete() if cause == "MaxAge"],
                             [base - hours * HOUR for hours in (90, 60, 40, 37)])
            one.start()
            settles(self.pair.names, kept)
            self.assertEqual(one.metric('steno_retention_deleted_files_total{cause="age"}'), 4)
            # Recovery, at the start, may be quicker with an index whose packets have just gone.
            self.assertIn(one.metric('steno_retention_deleted_bytes_total{cause="age"}'),
                          [4 * 8192 + indexes * 4096 for indexes in range(5)])
            self.assertEqual(one.stats()["aged_files_age"], 4)
            self.assertEqual(one.would_delete(), [])

    def test_age_of_the_last_packet(self):
        base = now()
        self.pair.add(base - 50 * HOUR, 8192, last=base - 20 * HOUR)  # 30 hours long, then nothing
        self.pair.add(base - HOUR, 8192)
        with Keeper(self.pair, MaxAge="36h") as one:
            one.start()
            settles(self.pair.names, [base - 50 * HOUR, base - HOUR])

    def test_bytes(self):
        base = now() - HOUR
        names = [base + i * MINUTE for i in range(12)]
        self.add(names, MB, index_size=MB // 4)
        # Neither counts nor is touched: what is being written, and what is not ours.
        for name in (".%d" % (base + 20 * MINUTE), "notes", "0%d" % base, "%d.bak" % base):
            file = open(self.pair.packets + "/" + name, "wb")
            self.addCleanup(file.close)
            fcntl.flock(file, fcntl.LOCK_EX)
            os.posix_fallocate(file.fileno(), 0, 3 * MB)
        with Keeper(self.pair, MaxBytes=5 * MB) as one:
            self.assertEqual(one.would_delete(), [(name, "MaxBytes") for name in names[:8]])
            self.assertIn("bytes              15.0 MiB", one.explain())
            one.start()
            settles(self.pair.names, names[8:])
            self.pair.add(base + 30 * MINUTE, MB // 2, index_size=MB // 4)  # 0.75 MiB more: one file of 1.25 goes
            settles(self.pair.names, names[9:] + [base + 30 * MINUTE])
            self.assertEqual(one.metric('steno_retention_deleted_files_total{cause="bytes"}'), 9)
            self.assertEqual(len(os.listdir(self.pair.packets)), 4 + 4)

    def test_30000_files(self):
        base = now() - 24 * HOUR
        names = [base + i * 1_000_000 for i in range(30_050)]
        self.add(names, 4096)
        with Keeper(self.pair) as one:
            self.assertEqual(one.would_delete(), [(name, "MaxDirectoryFiles") for name in names[:50]])
            one.start()
            settles(self.pair.names, names[50:], 60)
            one.stop()
            one.set_limits(MaxDirectoryFiles=10)
            one.start()
            settles(self.pair.names, names[-10:], 300)

    def test_files_from_the_future(self):
        base = now()
        future = [base + hours * HOUR for hours in (100, 101, 102)]
        self.add([base - 5 * HOUR] + future)
        with Keeper(self.pair, MaxDirectoryFiles=5, MaxAge="48h") as one:
            self.assertIn("3 files have names in the future", one.explain())
            one.start()
            settles(self.pair.names, [base - 5 * HOUR] + future)  # not too old, and not too many
            # What is recorded after the clock was set back: younger than they are, though their names are greater.
            later = []
            for _ in range(2):
                later.append(now())
                self.pair.add(later[-1], 8192)
                time.sleep(0.01)
            settles(self.pair.names, later + future)
            for gone in (1, 2, 3):
                later.append(now())
                self.pair.add(later[-1], 8192)
                settles(self.pair.names, later + future[gone:])
            later.append(now())
            self.pair.add(later[-1], 8192)
            settles(self.pair.names, later[1:])

    def test_undeletable(self):
        base = now() - HOUR
        names = [base + i * MINUTE for i in range(8)]
        self.add(names)
        path = "%s/%d" % (self.pair.packets, names[1])
        if subprocess.run(["chattr", "+i", path], capture_output=True).returncode != 0:
            self.skipTest("chattr +i is refused here")
        self.addCleanup(subprocess.run, ["chattr", "-i", path])
        os.chmod("%s/%d" % (self.pair.packets, names[0]), 0)
        os.chmod("%s/%d" % (self.pair.packets, names[2]), 0)
        os.mkdir("%s/%d" % (self.pair.packets, names[0] + 1))  # a directory is no packet file
        with Keeper(self.pair, MaxDirectoryFiles=4) as one:
            one.start()
            # Four are kept in all, and the one that cannot go is one of them. Its index stays with it.
            settles(lambda: [n for n in self.pair.names()[0] if n in names] if isinstance(self.pair.names(), tuple)
                    else self.pair.names(), [names[1]] + names[5:])
            lab.wait_for(lambda: str(names[1]) in one.log(), 10, "a word about it")
            self.assertEqual(one.metric('steno_retention_deleted_files_total{cause="files"}'), 4)
        self.assertTrue(os.path.isdir("%s/%d" % (self.pair.packets, names[0] + 1)))


if __name__ == "__main__":
    lab.enter()
    lab.main()
