"""Retention by free space on small ext4 and XFS disks (loop mounts), each with the files that are left, exactly."""
import os
import random
import shutil
import socket
import subprocess
import time
import unittest

import lab
from import_test import classic
from retention_lab import MB, MINUTE, Keeper, Pair, now, settles, small_disk, to_delete


class OnDisk:
    """The tests of both kinds of file systems."""
    kind = ""

    def fill(self, pair, count, size, **options):
        names = [now() - (count - i) * MINUTE for i in range(count)]
        for name in names:
            pair.add(name, size, **options)
        return names

    def test_two_threads_lose_the_same_history(self):
        disk = small_disk(self, self.kind, 128)
        one, other = Pair(disk.path + "/a"), Pair(disk.path + "/b")
        base = now() - 60 * MINUTE
        sizes = {}
        for i in range(16):
            sizes[base + i * MINUTE] = (one, 4 * MB)
            sizes[base + i * MINUTE + MINUTE // 2] = (other, 1 * MB)
        for name, (pair, size) in sizes.items():
            pair.add(name, size)
        info = os.statvfs(disk.path)
        percent = 100 * (info.f_bavail * info.f_frsize + 18 * MB) / (info.f_blocks * info.f_frsize)
        # 18 MiB too little: 4 + 1 + 4 + 1 + 4 + 1 + 4.
        gone = sorted(sizes)[:7]
        with Keeper(one, other, DiskFreePercentage=percent) as keeper:
            self.assertEqual(sorted(keeper.would_delete()), [(name, "DiskFreePercentage") for name in gone])
            keeper.start()
            kept = sorted(set(sizes) - set(gone))
            settles(lambda: sorted(one.names() + other.names()), kept)
            self.assertEqual(keeper.metric('steno_retention_deleted_files_total{cause="space"}'), 7)
            for pair in (one, other):
                self.assertEqual(keeper.metric('steno_directory_oldest_packet_timestamp_seconds{directory="%s"}' % pair.packets),
                                 min(pair.names()) / 10**6 - 300)  # of a file without a header it is a guess

    def test_index_disk_full_first(self):
        packets, indexes = small_disk(self, self.kind, 128), small_disk(self, self.kind, 64)
        pair = Pair(packets.path, indexes.path)
        names = self.fill(pair, 10, 64 << 10, index_size=4 * MB)
        info = os.statvfs(indexes.path)
        percent = 100 * (info.f_bavail * info.f_frsize + 10 * MB) / (info.f_blocks * info.f_frsize)
        with Keeper(pair, DiskFreePercentage=percent) as keeper:
            keeper.start()
            settles(pair.names, names[3:])
            self.assertGreater(os.statvfs(packets.path).f_bavail / os.statvfs(packets.path).f_blocks, percent / 100)

    def test_foreign_files(self):
        disk = small_disk(self, self.kind, 128)
        pair = Pair(disk.path)
        names = self.fill(pair, 8, 4 * MB)
        info = os.statvfs(disk.path)
        percent = 100 * (info.f_bavail * info.f_frsize - 6 * MB) / (info.f_blocks * info.f_frsize)
        with Keeper(pair, DiskFreePercentage=percent) as keeper:
            keeper.start()
            settles(pair.names, names)
            for name, size in (("copy", 10), ("12.pcap", 5)):  # 15 MiB of others, 9 too many
                with open(pair.packets + "/" + name, "wb") as file:
                    os.posix_fallocate(file.fileno(), 0, size * MB)
                settles(pair.names, names[{"copy": 1, "12.pcap": 3}[name]:])
            # More than all: nothing is left, it is said, and what is not ours is still there.
            disk.fill()
            settles(pair.names, [])
            lab.wait_for(lambda: "no packet file is left to delete" in keeper.log(), 10, "the warning")
            self.assertEqual(sorted(os.listdir(pair.packets)), ["12.pcap", "copy"])

    def test_burst_after_a_quiet_month(self):
        disk = small_disk(self, self.kind, 256)
        pair = Pair(disk.path)
        names = [now() - (5000 - i) * MINUTE for i in range(5000)]
        for name in names:
            pair.add(name, 8192)
        info = os.statvfs(disk.path)
        percent = 100 * (info.f_bavail - (8 * MB) / info.f_frsize) / info.f_blocks  # 8 MiB may come before files go
        burst = []
        with Keeper(pair, DiskFreePercentage=percent) as keeper:
            keeper.start()
            settles(pair.names, names)
            begin = time.monotonic()
            for _ in range(60):  # 480 MiB: twice the disk; no space is an error here
                burst.append(now())
                pair.add(burst[-1], 8 * MB)
                lab.wait_for(lambda: keeper.process.poll() is None and
                             100 * os.statvfs(disk.path).f_bavail / info.f_blocks >= percent - 100 * 8 * MB / disk_bytes(info),
                             60, "room for the next file")
            print("%s: 480 MiB in %.1f s" % (self.kind, time.monotonic() - begin))
            lab.wait_for(lambda: to_delete(disk, percent, MB) == 0, 60, "enough free space")
            time.sleep(0.8)
            left = pair.names()
            self.assertEqual(left, (names + burst)[-len(left):], "the oldest went, and no other")
            # And no file more than was needed.
            self.assertLess(os.statvfs(disk.path).f_bavail * info.f_frsize, percent / 100 * disk_bytes(info) + 9 * MB)

    def recorded(self, disk, count=30_000):
        """Real packet files of 2 MiB, in a directory of the disk; the packets that are in them."""
        directory = disk.path + "/store"
        for name in ("PKT0", "IDX0"):
            os.makedirs(directory + "/" + name)
        capture = os.path.dirname(disk.path) + "/a.pcap"
        start = 1_600_000_000_000_000_000
        chance = random.Random(2)
        packets = [(start + i * 10**7, lab.udp4("10.0.0.%d" % (i % 7), "10.9.9.9", 1000, 53, chance.randbytes(1400)))
                   for i in range(count)]
        with open(capture, "wb") as file:
            file.write(classic(packets, nanoseconds=True))
        done = subprocess.run([lab.BIN + "/stenotype", "--dir", directory, "--read", capture, "--seccomp=none",
                               "--filesize_mb=2"], capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        os.unlink(capture)
        pair = Pair(disk.path + "/none")
        pair.packets, pair.indexes = directory + "/PKT0", directory + "/IDX0"
        return pair, packets

    def test_a_long_read(self):
        """A reader that does not go on keeps the space of its files. Nothing else is deleted for that, and it gets all."""
        self.long_read(cut=False)

    def test_a_long_read_on_a_disk_about_to_be_full(self):
        """Where hardly any space is left, the reader's files are cut before more history goes, and it is told."""
        self.long_read(cut=True)

    def long_read(self, cut):
        disk = small_disk(self, self.kind, 256)
        pair, packets = self.recorded(disk)
        names = pair.names()
        self.assertGreater(len(names), 15)
        info = os.statvfs(disk.path)
        total = disk_bytes(info)
        percent = 100 * 60 * MB / total
        filler = disk.path + "/filler"
        with Keeper(pair, DiskFreePercentage=percent) as keeper:
            keeper.start()
            time.sleep(0.5)
            reader = SlowReader(keeper, "after 2020-01-01T00:00:00Z")
            reader.wait_begun()
            grow(filler, disk.free() - 60 * MB + 13 * MB)
            gone = to_delete(disk, percent, 2 * MB)
            settles(lambda: len(pair.names()), len(names) - gone)
            self.assertEqual(pair.names(), names[gone:])
            held = keeper.metric("steno_retention_held_bytes")
            print("%s: %d files deleted, %d bytes of them held" % (self.kind, gone, held))
            self.assertGreaterEqual(held, 2 * MB)
            time.sleep(11)  # longer than any credit of freed space lasts
            self.assertEqual(pair.names(), names[gone:], "held space costs no history")
            if cut:
                grow(filler, os.path.getsize(filler) + disk.free() - 20 * MB)
                lab.wait_for(lambda: keeper.metric("steno_retention_cut_files_total") > 0, 30, "a cut")
                self.assertIn("was cut while it was being read", keeper.log())
            body, trailers = reader.finish()
            got = lab.read_pcap(body)
            if cut:
                self.assertEqual(trailers["Steno-Complete"], "false", trailers)
                self.assertLess(len(got), len(packets))
                self.assertIn("deleted while it was read", keeper.log())
            else:
                self.assertEqual(trailers["Steno-Complete"], "true", trailers)
                self.assertEqual([(ns, frame) for ns, _, frame in got], packets)
                settles(pair.names, names[gone:])
            lab.wait_for(lambda: keeper.metric("steno_retention_held_bytes") == 0, 30, "the space to be given back")


class SlowReader:
    """A query whose answer is not read until finish()."""

    def __init__(self, keeper, text):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(keeper.socket)
        self.socket.sendall(b"POST /query HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nTE: trailers\r\n\r\n%s" % (
            len(text), text.encode()))

    def wait_begun(self):
        self.socket.settimeout(30)
        self.begin = self.socket.recv(1)
        time.sleep(1)  # until its buffers are full

    def finish(self):
        stream = self.socket.makefile("rb")
        head = self.begin + stream.readline()
        if b" 200 " not in head:
            raise AssertionError(head)
        while stream.readline() != b"\r\n":
            pass
        body, trailers = bytearray(), {}
        while size := int(stream.readline().split(b";")[0], 16):
            body += stream.read(size)
            stream.readline()
        for line in iter(stream.readline, b"\r\n"):
            name, _, value = line.decode().partition(":")
            trailers[name.strip()] = value.strip()
        self.socket.close()
        return bytes(body), trailers


def disk_bytes(info):
    return info.f_blocks * info.f_frsize


def grow(path, size):
    """Makes a file larger, up to a size."""
    with open(path, "ab") as file:
        os.posix_fallocate(file.fileno(), file.tell(), size - file.tell())


class Ext4(OnDisk, unittest.TestCase):
    kind = "ext4"

    def test_project_quota(self):
        if shutil.which("setquota") is None:
            self.skipTest("setquota is not installed")
        disk = small_disk(self, "ext4", 128, options="prjquota", mkfs=["-O", "quota,project", "-E", "quotatype=prjquota"])
        os.mkdir(disk.path + "/q")
        lab.run(["chattr", "-p", "7", "+P", disk.path + "/q"])
        lab.run(["setquota", "-P", "7", "0", str(40 * 1024), "0", "0", disk.path])
        check_quota(self, disk)


class Xfs(OnDisk, unittest.TestCase):
    kind = "xfs"

    def test_project_quota(self):
        disk = small_disk(self, "xfs", 320, options="prjquota")
        os.mkdir(disk.path + "/q")
        lab.run(["xfs_quota", "-x", "-c", "project -s -p %s/q 7" % disk.path, "-c", "limit -p bhard=40m 7", disk.path])
        check_quota(self, disk)


def check_quota(test, disk):
    """A quota of 40 MiB, of which a quarter is to be free: 30 MiB are left of 36."""
    pair = Pair(disk.path + "/q")
    names = [now() - (9 - i) * MINUTE for i in range(9)]
    for name in names:
        pair.add(name, 4 * MB)
    with Keeper(pair, DiskFreePercentage=25) as keeper:
        test.assertIn("of 40.0 MiB (41943040 bytes), the project's quota", keeper.explain())
        keeper.start()
        settles(pair.names, names[2:])


if __name__ == "__main__":
    lab.enter()
    lab.main()
