"""stenoread --dir: the packets of a store without a server, in every format, whole and split, and nothing is written into
the store, which is mounted read-only."""
import collections
import json
import os
import random
import shutil
import subprocess
import tempfile
import unittest

import import_test
import lab
import packet_files

COUNT = 3000
START = 1_600_000_000_123_456_789


def stenoread(*arguments):
    return subprocess.run([lab.BIN + "/stenoread", *arguments], capture_output=True, timeout=120)


def listing(directory):
    return {os.path.join(root, name): os.stat(os.path.join(root, name)).st_mtime_ns
            for root, _, names in os.walk(directory) for name in names}


class Offline(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.root = tempfile.mkdtemp(prefix="steno-e2e-", dir="/var/tmp")
        path = cls.root + "/made.pcap"
        packets = [(START + i * 7_777_777, frame) for i, frame in enumerate(import_test.frames(random.Random(5), COUNT))]
        with open(path, "wb") as file:
            file.write(import_test.classic(packets, nanoseconds=True))
        done = import_test.stenotype(cls.root, "--read", path)
        assert done.returncode == 0, done.stderr
        cls.originals = packet_files.read_capture(path)
        cls.evidence = cls.root + "/evidence"
        for name, source in (("PKT0", "pkt0"), ("IDX0", "idx0")):
            os.makedirs(cls.evidence + "/" + name)
            lab.run(["mount", "--bind", cls.root + "/" + source, cls.evidence + "/" + name])
            lab.run(["mount", "-o", "remount,bind,ro", cls.evidence + "/" + name])

    @classmethod
    def tearDownClass(cls):
        for name in ("PKT0", "IDX0"):
            lab.run(["umount", cls.evidence + "/" + name])
        shutil.rmtree(cls.root)

    def save(self, name, *arguments):
        path = self.root + "/" + name
        done = stenoread("--dir", self.evidence, "--output", path, *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return path

    def test_formats(self):
        expected = [p.key() for p in self.originals]
        for form in ("pcap-ns", "pcapng"):
            path = self.save("all." + form, "--format", form, "--all")
            self.assertEqual([p.key() for p in packet_files.read_capture(path)], expected, form)
        micro = packet_files.read_capture(self.save("all.pcap", "--all"))
        self.assertEqual([(p.ns, p.frame) for p in micro], [(p.ns // 1000 * 1000, p.frame) for p in self.originals])

    def test_a_query_and_no_writes(self):
        before = listing(self.root + "/pkt0"), listing(self.root + "/idx0")
        first = self.originals[0]
        path = self.save("some.pcap", "--format", "pcap-ns", "before %d.%09d" % divmod(first.ns + 1, 10**9))
        self.assertEqual([p.key() for p in packet_files.read_capture(path)], [first.key()])
        self.assertEqual((listing(self.root + "/pkt0"), listing(self.root + "/idx0")), before)

    def test_split(self):
        self.save("split.pcapng", "--format", "pcapng", "--split-time", "5", "--all")
        parts = sorted(name for name in os.listdir(self.root) if name.startswith("split-"))
        self.assertGreater(len(parts), 3)
        pieces = [packet_files.read_capture(self.root + "/" + name) for name in parts]
        self.assertEqual([p.key() for piece in pieces for p in piece], [p.key() for p in self.originals])
        for piece in pieces:
            self.assertLess(piece[-1].ns - piece[0].ns, 5 * 10**9)

    def test_summaries(self):
        done = stenoread("--dir", self.evidence, "--format", "json", "--all")
        self.assertEqual(done.returncode, 0, done.stderr)
        summary = json.loads(done.stdout)
        self.assertEqual(summary["totals"]["packets"], COUNT)
        self.assertEqual(sum(flow["packets"] for flow in summary["flows"]), COUNT)
        self.assertEqual(summary["totals"]["bytes"], sum(p.original for p in self.originals))
        done = stenoread("--dir", self.evidence, "--aggregate", "time:1s", "--all")
        times = collections.Counter(p.ns // 10**9 for p in self.originals)
        self.assertEqual([group["packets"] for group in json.loads(done.stdout)["groups"]], [times[s] for s in sorted(times)])

    @unittest.skipUnless(shutil.which("tshark"), "tshark is not installed")
    def test_tshark_reads_pcapng(self):
        path = self.save("shark.pcapng", "--format", "pcapng", "--all")
        out = lab.run(["tshark", "-n", "-r", path, "-T", "fields", "-e", "frame.interface_name", "-e", "frame.time_epoch"]).splitlines()
        self.assertEqual(out, ["made.pcap\t%d.%09d" % divmod(p.ns, 10**9) for p in self.originals])

    def test_mistakes(self):
        empty = self.root + "/empty"
        os.makedirs(empty)
        for arguments, text in ((["--dir", empty, "port 80"], b"no packet files"),
                                (["--dir", self.evidence, "port x"], b"column 6"),
                                (["--dir", empty + "/gone", "port 80"], b"No such file")):
            done = stenoread(*arguments)
            self.assertEqual(done.returncode, 1)
            self.assertIn(text, done.stderr)


if __name__ == "__main__":
    lab.enter()
    lab.main()
