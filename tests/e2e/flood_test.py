"""A flood of new flows, every packet one of its own, fills index after index: packets are stored or counted as lost, every one that
is stored is found again through the index, and what could not be sealed in time is sealed later.

STENO_FLOOD_SECONDS=300 floods that long, as fast as the source can; about 12 GB of disk, of which the oldest is deleted meanwhile."""
import glob
import os
import random
import socket
import struct
import threading
import time
import unittest

import lab
from traffic_test import enter, traffic

COUNT = 1_600_000  # three segments
SAMPLES = 25
SECONDS = int(os.environ.get("STENO_FLOOD_SECONDS", "0"))
# The index of a thread, live and being sealed, and what the process has besides.
MEMORY_LIMIT = (128 + 16) << 20


def source_of(frame):
    """Source address and port of an IPv4 frame with ports, as bytes."""
    return frame[26:30] + frame[34:36]


class Memory(threading.Thread):
    """The most memory that a process has had, without the ring (whose pages are the kernel's)."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.peak, self.ended = pid, 0, threading.Event()
        self.start()

    def run(self):
        while not self.ended.wait(0.25):
            with open("/proc/%d/status" % self.pid) as file:
                sizes = dict(line.split(":", 1) for line in file)
            self.peak = max(self.peak, sum(int(sizes[name].split()[0]) << 10 for name in ("RssAnon", "RssShmem")))

    def stop(self):
        self.ended.set()
        self.join()
        return self.peak


class Flood(unittest.TestCase):
    def test_every_packet_is_found(self):
        with lab.Lab(flags=["--blocks=512"]) as one:
            sent = traffic("flood", "--tcp", "--count", COUNT)["sent"]
            one.wait_stored(sent, 60)
            stored, lost = one.counter("stored_packets"), one.lost()
            print("sent=%d stored=%d lost=%d index_full=%d raw_indexes=%d unindexed_blocks=%d"
                  % (sent, stored, lost, *map(one.counter, ("index_full", "raw_indexes", "unindexed_blocks"))))
            self.assertEqual(sent, stored + lost)
            # Where sealing could not keep up, blocks of more packets were left out of a segment that was full.
            if one.counter("unindexed_blocks") == 0:
                self.assertGreaterEqual(one.counter("index_full"), stored // (512 * 1024))
            self.assertGreaterEqual(one.counter("index_full"), 1)
            frames = [frame for _, _, frame in one.packets("tcp")]
            self.assertEqual(len(frames), stored)
            self.find_some(one, frames)

            # Raw indexes become sealed ones, and the answers stay.
            indexed = one.threads[0]["IndexDirectory"]
            lab.wait_for(lambda: not any(self.is_raw(path) for path in glob.glob(indexed + "/*")), 60, "raw indexes to be sealed")
            self.assertEqual(one.stats()["compacted_indexes"], one.counter("raw_indexes"))
            self.find_some(one, frames)

    @unittest.skipUnless(SECONDS, "STENO_FLOOD_SECONDS is not set")
    def test_a_long_one(self):
        with lab.Lab(flags=["--blocks=1024", "--filesize_mb=1024"], thread_settings={"MaxDirectoryFiles": 12}) as one:
            memory = Memory(one.stenotypes()[0])
            sent = traffic("flood", "--tcp", "--seconds", SECONDS)["sent"]
            one.wait_stored(sent, 60)
            stored, lost = one.counter("stored_packets"), one.lost()
            names = ("index_full", "raw_indexes", "unindexed_blocks")
            print("sent=%d (%.2f Mpps) stored=%d lost=%d; %s; memory %d MiB" % (
                sent, sent / SECONDS / 1e6, stored, lost,
                " ".join("%s=%d" % (name, one.counter(name)) for name in names), memory.stop() >> 20))
            self.assertEqual(sent, stored + lost)
            self.assertLessEqual(memory.peak, MEMORY_LIMIT)
            # Of the end of the flood: what is on the disk is too much for this program.
            now = time.time()
            frames = [frame for _, _, frame in one.packets("tcp and after %.3f" % (now - 3))]
            if not frames:
                frames = [frame for _, _, frame in one.packets("tcp and after %.3f" % (now - 20))]
            self.assertTrue(frames)
            self.find_some(one, frames, exact=False)

    def is_raw(self, path):
        """Flags in the footer (docs/FORMAT.md)."""
        with open(path, "rb") as file:
            file.seek(-128, os.SEEK_END)
            return struct.unpack_from("<I", file.read(128), 92)[0] & 1 == 1

    def find_some(self, one, frames, exact=True):
        """Packets of some sources, asked for one by one; there may be older ones too if not `exact`."""
        wanted = {source_of(frame): [] for frame in random.Random(len(frames)).sample(frames, SAMPLES)}
        for frame in frames:
            if source_of(frame) in wanted:
                wanted[source_of(frame)].append(frame)
        for source, expected in wanted.items():
            host, port = socket.inet_ntoa(source[:4]), struct.unpack(">H", source[4:])[0]
            found = [frame for _, _, frame in one.packets("src host %s and src port %d" % (host, port))]
            self.assertEqual(found if exact else found[-len(expected):], expected)


if __name__ == "__main__":
    enter()
    lab.main()
