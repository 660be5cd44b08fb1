"""Small real disks for the end-to-end tests: loop mounts that can be filled, stalled, broken and mended."""
import atexit
import json
import os
import re
import shutil
import subprocess
import threading
import unittest

import lab
from loss_test import made_capture


def attempt(*command):
    """Runs a command; its error text, or "" if it succeeded."""
    done = subprocess.run(command, capture_output=True, text=True)
    return "" if done.returncode == 0 else (done.stderr.strip() or "exit %d" % done.returncode)


class Disk:
    """A file system in an image file, mounted (in the namespace of the calling test alone) at `path`."""

    def __init__(self, path, megabytes, kind="ext4", options="", mkfs=(), image=None):
        self.path, self.kind, self.options = path, kind, options
        self.image = image or path + ".image"
        os.makedirs(path, exist_ok=True)
        with open(self.image, "wb") as file:
            file.truncate(megabytes << 20)
        command = {"ext4": ["mkfs.ext4", "-q", "-m", "0"], "xfs": ["mkfs.xfs", "-q", "-f"]}[kind]
        if shutil.which(command[0]) is None:
            raise unavailable("%s is not installed" % command[0])
        lab.run([*command, *mkfs, self.image])
        atexit.register(self.close)
        self.mount()

    def mount(self):
        options = ["-o", ",".join(filter(None, ["loop", self.options]))]
        error = attempt("mount", "-t", self.kind, *options, self.image, self.path)
        if error:
            raise unavailable("no loop mount of %s here: %s" % (self.kind, error))
        self.device = lab.run(["findmnt", "-no", "SOURCE", "--mountpoint", self.path]).strip()

    def unmount(self):
        lab.run(["umount", "-l", self.path])

    def close(self):
        attempt("fsfreeze", "-u", self.path)
        attempt("umount", "-l", self.path)

    def free(self):
        info = os.statvfs(self.path)
        return info.f_bavail * info.f_frsize

    def fill(self):
        """Takes all of the space with a file of somebody else's; returns its path."""
        path = self.path + "/foreign"
        with open(path, "ab") as file:
            size = self.free()
            while size >= 4096:
                try:
                    os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, size)
                    size = self.free()
                except OSError:
                    size //= 2
        return path

    def freeze(self):
        lab.run(["fsfreeze", "-f", self.path])

    def thaw(self):
        lab.run(["fsfreeze", "-u", self.path])


def unavailable(reason):
    return unittest.SkipTest(reason)


def lab_on(*paths, flags=(), settings=None):
    """A lab that is not started, with one capture thread for each of the directories, and these flags alone."""
    one = lab.Lab(threads=len(paths), start=False, settings={"Flags": ["-v", *flags], **(settings or {})})
    for thread, path in zip(one.threads, paths):
        thread.update(PacketsDirectory=path + "/pkt", IndexDirectory=path + "/idx", DiskFreePercentage=20)
    with open(one.config_path, "w") as file:
        json.dump(one.config, file)
    return one


class Traffic:
    """Sends packets at a steady rate until stop(), which returns how many there were."""

    def __init__(self, one, rate=20_000):
        self.capture = one.root + "/made.pcap"
        if not os.path.exists(self.capture):
            made_capture(self.capture, count=rate // 4)
        self.rate, self.sent, self.error = rate, 0, None
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        try:
            while not self.ended.is_set():
                self.sent += lab.replay([self.capture], "--pps", str(self.rate))["sent"]
        except Exception as error:
            self.error = error

    def stop(self):
        self.ended.set()
        self.thread.join()
        if self.error:
            raise self.error
        return self.sent


def thread_stats(one):
    """A dictionary of counters for each capture thread."""
    threads = {}
    for name, value in one.stats().items():
        match = re.fullmatch(r"stenotype_thread(\d+)_(.*)", name)
        if match:
            threads.setdefault(int(match[1]), {})[match[2]] = value
    return [threads[number] for number in sorted(threads)]


def lines(one, text):
    """The lines of the log that contain a text."""
    return [line for line in one.log().splitlines() if text in line]
