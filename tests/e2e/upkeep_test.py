"""stenotype --verify and --reindex on what stenotype recorded: nothing wrong is found in it, damage is, and is repaired."""
import glob
import os
import random
import shutil
import subprocess
import tempfile
import unittest

import lab
from import_test import classic, frames


class Upkeep(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="steno-e2e-", dir="/var/tmp")
        self.addCleanup(shutil.rmtree, self.directory, True)
        for name in ("PKT0", "IDX0", "PKT1", "IDX1"):
            os.mkdir(self.directory + "/" + name)
        capture = self.directory + "/a.pcap"
        with open(capture, "wb") as file:
            start = 1_600_000_000_000_000_000
            file.write(classic([(start + i * 10**6, frame) for i, frame in enumerate(frames(random.Random(1), 3000))],
                               nanoseconds=True))
        self.run_flags("--dir", self.directory, "--read", capture, "--seccomp=none", "--filesize_mb=1")
        # Where sealing fell behind, an index is raw: each test begins with sealed ones.
        self.run_flags("--reindex", self.directory)
        self.indexes = sorted(glob.glob(self.directory + "/IDX0/*"))
        self.assertGreater(len(self.indexes), 1)

    def run_flags(self, *flags, status=0):
        done = subprocess.run([lab.BIN + "/stenotype", *flags], capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def state(self):
        """What --verify must not change."""
        return {path: (os.stat(path).st_mtime_ns, os.stat(path).st_size) for path in glob.glob(self.directory + "/*/*")}

    def test_verify_finds_nothing_and_changes_nothing(self):
        before = self.state()
        out = self.run_flags("--verify", self.directory)
        self.assertIn("%d files with 3000 packets: %d without a problem; 0 problems" % (len(self.indexes), len(self.indexes)), out)
        self.assertEqual(self.state(), before)

    def test_damage_is_found_and_repaired(self):
        with open(self.indexes[0], "r+b") as file:
            file.seek(200)
            byte = file.read(1)[0]
            file.seek(200)
            file.write(bytes([byte ^ 1]))
        os.unlink(self.indexes[1])
        out = self.run_flags("--verify", self.directory, status=1)
        self.assertIn(self.indexes[0] + ": ", out)
        self.assertIn("note: %s: no index" % self.indexes[1].replace("IDX0", "PKT0"), out)
        out = self.run_flags("--reindex", self.directory + "/PKT0", "--index_dir", self.directory + "/IDX0")
        self.assertIn("%d files: 2 indexes made, 0 could not be made" % len(self.indexes), out)
        self.assertIn("0 problems", self.run_flags("--verify", self.directory))
        self.assertIn(" 0 indexes made", self.run_flags("--reindex", self.directory))
        self.assertIn("%d indexes made" % len(self.indexes), self.run_flags("--reindex", self.directory, "--all"))
        self.assertIn("0 problems", self.run_flags("--verify", self.directory))

    def test_the_index_of_another_file_is_found_and_replaced(self):
        shutil.copy(self.indexes[0], self.indexes[1])
        self.assertIn("index of another file", self.run_flags("--verify", self.directory, status=1))
        self.assertIn(" 1 indexes made", self.run_flags("--reindex", self.directory))
        self.assertIn("0 problems", self.run_flags("--verify", self.directory))

    def test_a_missing_directory_hides_no_other(self):
        os.rename(self.directory + "/PKT0", self.directory + "/PKT12")
        os.rename(self.directory + "/IDX0", self.directory + "/IDX12")
        os.rmdir(self.directory + "/PKT1")
        self.assertIn("%d files with 3000 packets" % len(self.indexes), self.run_flags("--verify", self.directory))

    def test_files_in_use_and_strange_ones_are_left_alone(self):
        for name in (".123", "notes.txt"):
            with open(self.directory + "/PKT0/" + name, "w") as file:
                file.write("x")
        open(self.directory + "/PKT0/5", "w").close()  # empty
        self.run_flags("--reindex", self.directory)
        self.assertEqual(sorted(glob.glob(self.directory + "/IDX0/*")), self.indexes)

    def test_an_index_that_cannot_be_made_is_told(self):
        shutil.rmtree(self.directory + "/IDX0")
        out = self.run_flags("--reindex", self.directory, status=1)
        self.assertIn("no index made: ", out)
        self.assertIn("%d could not be made" % len(self.indexes), out)

    def test_wrong_arguments(self):
        for flags, said, status in (
                (["--verify", self.directory + "/PKT0"], "expected a directory with PKT0 and IDX0", 2),
                (["--verify", self.directory, "--reindex", self.directory], "expected one of them", 64),
                (["--verify", self.directory, "--all"], "--all goes with --reindex only", 64),
                (["--index_dir", self.directory], "--index_dir goes with --reindex or --verify only", 64)):
            self.assertIn(said, self.run_flags(*flags, status=status))


if __name__ == "__main__":
    unittest.main(verbosity=2)
