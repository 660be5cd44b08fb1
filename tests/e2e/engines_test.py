"""Every write engine on every kind of file system; and io_uring refused by a seccomp filter, as container runtimes do."""
import os
import shutil
import stat
import sys
import unittest

import lab
from disk_lab import Disk, attempt, lab_on, lines, thread_stats, unavailable
from loss_test import made_capture

ENGINES = ("io_uring", "libaio", "pwrite")
PACKETS = 20_000

# Starts the real stenotype under a filter that refuses io_uring_setup with EPERM. (struct sock_fprog and sock_filter of
# <linux/filter.h>: load the number of the system call; if it is the one, errno EPERM; else allow.)
WRAPPER = """#!%s
import ctypes, os, struct, sys
IO_URING_SETUP, EPERM = 425, 1
program = b"".join(struct.pack("HBBI", *line) for line in (
    (0x20, 0, 0, 0), (0x15, 0, 1, IO_URING_SETUP), (0x06, 0, 0, 0x00050000 | EPERM), (0x06, 0, 0, 0x7fff0000)))
text = ctypes.create_string_buffer(program)
header = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(text))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(38, 1, 0, 0, 0) != 0 or libc.prctl(22, 2, header, 0, 0) != 0:  # no_new_privs, then the filter
    sys.exit("prctl: errno %%d" %% ctypes.get_errno())
os.execv(%r, sys.argv)
"""


class Engines(unittest.TestCase):
    def record(self, path, *flags, settings=None, count=PACKETS):
        """Records into a directory, and checks that all of it is there; returns the lab, stopped."""
        one = lab_on(path, flags=["--filesize_mb=16", "--blocks=64", *flags], settings=settings)
        with one:
            one.start()
            made = made_capture(one.root + "/made.pcap", count=count // 4)
            sent = sum(lab.replay([made], "--pps", "40000")["sent"] for _ in range(4))
            one.wait_stored(sent)
            self.assertEqual(one.lost(), 0)
            self.assertEqual(one.counter("write_errors"), 0)
            self.assertEqual(len(one.packets("last=1h")), sent)
            self.threads = thread_stats(one)
        return one

    def every_engine(self, path, direct):
        for engine in ENGINES:
            with self.subTest(engine=engine):
                one = self.record(path, "--io_engine=" + engine)
                self.assertEqual(len(lines(one, "writing by %s: as configured" % engine)), 1, one.log())
                told = len(lines(one, "takes no direct I/O"))
                if direct is not None:
                    self.assertEqual(told, 0 if direct else 1, "it is said once, and only where it is so")
                names = [name for name in os.listdir(path + "/pkt")]
                self.assertTrue(names and not any(name.startswith(".") for name in names), names)
                print("%s on %s: %d files, longest write %.1f ms%s" % (
                    engine, path, len(names), self.threads[0]["write_latency_max_ns"] / 1e6, ", buffered" if told else ""))
                for name in ("/pkt", "/idx"):
                    shutil.rmtree(path + name)

    def mounted(self, kind, *options):
        path = self.scratch()
        error = attempt("mount", "-t", kind, *options, path)
        if error:
            raise unavailable("no %s here: %s" % (kind, error))
        lab.atexit.register(attempt, "umount", "-l", path)
        return path

    def scratch(self):
        path = lab.tempfile.mkdtemp(prefix="steno-e2e-engines-", dir="/var/tmp")
        lab.atexit.register(shutil.rmtree, path, True)
        return path

    def test_ext4(self):
        self.every_engine(Disk(self.scratch() + "/disk", 192).path, direct=True)

    def test_xfs(self):
        self.every_engine(Disk(self.scratch() + "/disk", 512, kind="xfs").path, direct=True)

    def test_tmpfs(self):
        self.every_engine(self.mounted("tmpfs", "-o", "size=192m", "tmpfs"), direct=None)

    def test_overlayfs(self):
        root = self.scratch()
        for name in ("lower", "upper", "work"):
            os.mkdir("%s/%s" % (root, name))
        layers = "lowerdir=%s/lower,upperdir=%s/upper,workdir=%s/work" % (root, root, root)
        self.every_engine(self.mounted("overlay", "-o", layers, "overlay"), direct=None)

    def test_without_direct_io(self):
        self.every_engine(self.mounted("ramfs", "ramfs"), direct=False)

    def test_io_uring_refused_by_seccomp(self):
        path = self.scratch()
        wrapper = path + "/stenotype"
        with open(wrapper, "w") as file:
            file.write(WRAPPER % (sys.executable, lab.BIN + "/stenotype"))
        os.chmod(wrapper, os.stat(wrapper).st_mode | stat.S_IXUSR)
        one = self.record(path, settings={"StenotypePath": wrapper})
        told = lines(one, "writing by libaio")
        self.assertEqual(len(told), 1, one.log())
        print(told[0])
        self.assertIn("io_uring: io_uring_setup: Operation not permitted", told[0])
        self.assertRegex(told[0], "seccomp profile refuses it|io_uring_disabled")


if __name__ == "__main__":
    lab.enter()
    lab.main()
