"""The traffic source of the benchmark sends what it says and counts it exactly: all of it is recorded, in the sizes, flows and
order that were asked for."""
import collections
import json
import os
import socket
import struct
import subprocess
import unittest

import lab

COUNT = 20_000


def checksum(data):
    total = sum(struct.unpack(">%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def tcp_segment(sequence):
    """A segment of one connection that the receiver's GRO would put together with its neighbours: right checksums, ACK only."""
    source, destination, payload = socket.inet_aton("10.0.0.1"), socket.inet_aton("10.0.0.2"), b"%08d" % sequence * 5

    def ip(check):
        return struct.pack(">BBHHHBBH", 0x45, 0, 40 + len(payload), sequence, 0, 64, 6, check) + source + destination

    def tcp(check):
        return struct.pack(">HHIIBBHHH", 40000, 80, sequence * len(payload), 1, 0x50, 0x10, 1000, check, 0) + payload
    pseudo = source + destination + struct.pack(">HH", 6, 20 + len(payload))
    return bytes.fromhex("020000000002020000000001") + b"\x08\x00" + ip(checksum(ip(0))) + tcp(checksum(pseudo + tcp(0)))


def traffic(kind, *options):
    # On one CPU: the kernel receives where the source runs, and a move in between changes the order of packets.
    done = subprocess.run([lab.BIN + "/traffic", "tx0", kind, "--cpu", str(min(os.sched_getaffinity(0))), *map(str, options)],
                          capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout)


class Traffic(unittest.TestCase):
    def record(self, kind, *options, count=COUNT):
        """The recorded frames of `count` sent ones, which must be all of them."""
        with lab.Lab() as one:
            report = traffic(kind, "--count", count, "--pps", 100_000, *options)
            self.assertEqual((report["made"], report["sent"], report["failed"], report["link_drops"]), (count, count, 0, 0))
            one.wait_stored(count)
            self.assertEqual(one.lost(), 0)
            frames = [frame for _, _, frame in one.packets("last=1h")]
            self.assertEqual(len(frames), count)
            self.assertEqual(sum(map(len, frames)), report["made_bytes"])
            return frames

    def test_imix(self):
        frames = self.record("imix", "--flows", 100)
        sizes = collections.Counter(map(len, frames))
        self.assertEqual(set(sizes), {60, 594, 1514})
        for size, parts in ((60, 9), (594, 4), (1514, 3)):
            self.assertAlmostEqual(sizes[size] / COUNT, parts / 16, delta=0.02)
        self.assertEqual(len({frame[26:38] for frame in frames}), 100)

    def test_flood(self):
        frames = self.record("flood", "--tcp")
        self.assertEqual({len(frame) for frame in frames}, {60})
        self.assertEqual({(frame[23], frame[47]) for frame in frames}, {(6, 2)}, "TCP, SYN")
        self.assertGreater(len({frame[26:30] for frame in frames}), COUNT * 0.99)

    def test_fixed_at_full_rate(self):
        with lab.Lab() as one:
            report = traffic("fixed", "--bytes", 1514, "--count", 5000, "--flows", 3)
            one.wait_stored(report["sent"])
            frames = [frame for _, _, frame in one.packets("last=1h")]
            self.assertEqual(report["sent"], 5000)
            self.assertEqual(len(frames) + one.lost(), 5000)
            self.assertEqual({len(frame) for frame in frames}, {1514})
            self.assertEqual(len({frame[26:38] for frame in frames}), 3)

    def test_pcap(self):
        segments = [tcp_segment(i) for i in range(500)]
        path = os.path.join("/var/tmp", "steno-traffic-%d.pcap" % os.getpid())
        self.addCleanup(os.unlink, path)
        lab.write_pcap(path, [(i, len(frame), frame) for i, frame in enumerate(segments)])
        frames = self.record("pcap", "--pcap", path, count=1200)
        # The receiver's GRO may hold a round's last segment back until the next round has begun: order is kept in each flow only.
        rounds = {}
        for frame in frames:
            rounds.setdefault(frame[26:34], []).append(frame)
        self.assertEqual([len(one) for one in rounds.values()], [500, 500, 200], "other hosts in each round")
        for number, frame in enumerate(next(iter(rounds.values()))):
            self.assertEqual(frame[12:], segments[number][12:], "the first round is as the file has it, but for a MAC address")
        for one in rounds.values():
            self.assertEqual([frame[34:] for frame in one], [segments[i][34:] for i in range(len(one))])

    def test_seconds(self):
        report = traffic("imix", "--seconds", 0.5, "--pps", 1000)
        self.assertGreaterEqual(report["seconds"], 0.5)
        self.assertEqual(report["sent"], report["made"])
        self.assertGreater(report["sent"], 0)


def enter():
    lab.enter()
    for name in ("cap0", "tx0"):
        lab.run(["ethtool", "-K", name, "gro", "on"])
    try:
        traffic("fixed", "--count", 1)
    except RuntimeError as problem:
        lab.skip("no XDP live frames here: %s" % str(problem).strip())


if __name__ == "__main__":
    enter()
    lab.main()
