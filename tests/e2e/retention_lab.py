"""A server without a capture, over directories whose files the test makes: what retention leaves there is exact."""
import fcntl
import json
import os
import re
import shutil
import subprocess
import tempfile
import time

import disk_lab
import lab

MB = 1 << 20
MINUTE = 60 * 10**6  # in names


def now():
    """The time as a file's name."""
    return time.time_ns() // 1000


class Pair:
    """A directory of packets and one of indexes."""

    def __init__(self, path, index_path=None):
        self.packets, self.indexes = path + "/pkt", (index_path or path) + "/idx"
        for directory in (self.packets, self.indexes):
            os.makedirs(directory, exist_ok=True)

    def add(self, name, size, index_size=4096, last=None):
        """A packet file and its index; `last` (a time like names) is when it was written last, else a minute after its name."""
        for directory, bytes_ in ((self.indexes, index_size), (self.packets, size)):
            hidden, final = "%s/.%d" % (directory, name), "%s/%d" % (directory, name)
            with open(hidden, "wb") as file:
                fcntl.flock(file, fcntl.LOCK_EX)  # else it is one that a crash left behind
                os.posix_fallocate(file.fileno(), 0, bytes_)
                if directory == self.indexes:  # as one of the incumbent ends: the server leaves those as they are
                    file.seek(bytes_ - 8)
                    file.write(bytes.fromhex("57fb808b247547db"))
                file.flush()
                ns = (name + MINUTE if last is None else last) * 1000
                os.utime(hidden, ns=(ns, ns))
                os.rename(hidden, final)

    def names(self):
        """Of the packet files; the indexes must be the same."""
        packets, indexes = [sorted(int(name) for name in os.listdir(directory) if name.isdigit() and name[0] != "0")
                            for directory in (self.packets, self.indexes)]
        return packets if packets == indexes else (packets, indexes)


class Keeper(lab.Lab):
    """A server that keeps limits and answers queries; nothing is captured."""

    def __init__(self, *pairs, settings=None, root=None, **limits):
        root = root or tempfile.mkdtemp(prefix="steno-e2e-", dir="/var/tmp")
        super().__init__(threads=len(pairs), directory=root, start=False,
                         settings={"StenotypePath": "/bin/false", "Flags": [], **(settings or {})})
        self.limits = {"DiskFreePercentage": 0.001, **limits}
        for thread, pair in zip(self.threads, pairs):
            thread.update(PacketsDirectory=pair.packets, IndexDirectory=pair.indexes)
        self.set_limits()

    def set_limits(self, **limits):
        self.limits.update(limits)
        for thread in self.threads:
            thread.update(self.limits)
        with open(self.config_path, "w") as file:
            json.dump(self.config, file)

    def start(self, wait=True):
        super().start(wait=False)
        if wait:
            lab.wait_for(lambda: self.get("/healthz").status == 200, 20, "the server")

    def explain(self):
        return lab.run([lab.BIN + "/stenographer", "--explain_retention", "-config", self.config_path])

    def would_delete(self):
        """[(name, cause)] of --explain_retention."""
        lines = re.findall(r"^    (\S+)  \d+ bytes  (\w+)$", self.explain(), re.M)
        return [(int(os.path.basename(path)), cause) for path, cause in lines]

    def metric(self, name):
        for line in self.get("/metrics").text.splitlines():
            key, _, value = line.rpartition(" ")
            if key == name:
                return float(value)
        raise AssertionError("no metric " + name)


def settles(look, expected, seconds=30):
    """Waits until look() gives what is expected, and asserts that it stays so for a few passes."""
    try:
        lab.wait_for(lambda: look() == expected, seconds, "the expected files")
    except AssertionError:
        pass  # the comparison below tells the difference
    time.sleep(0.8)
    found = look()
    if found != expected:
        raise AssertionError("found %.2000s\nexpected %.2000s" % (found, expected))


def small_disk(test, kind, megabytes, **options):
    """A disk that is gone after the test. XFS has no file systems below 300 MB."""
    root = tempfile.mkdtemp(prefix="steno-e2e-", dir="/var/tmp")
    test.addCleanup(shutil.rmtree, root, True)
    disk = disk_lab.Disk(root + "/disk", max(megabytes, 320) if kind == "xfs" else megabytes, kind, **options)
    test.addCleanup(disk.close)
    return disk


def to_delete(disk, percent, size):
    """How many files of a size must go until `percent` of a disk is free."""
    info = os.statvfs(disk.path)
    missing = percent / 100 * info.f_blocks * info.f_frsize - info.f_bavail * info.f_frsize
    return max(0, int(-(-missing // size)))
