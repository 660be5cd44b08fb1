"""A flood of new flows, every packet one of its own, fills index after index: packets are stored or counted as lost, every one that
is stored is found again through the index, and what could not be sealed in time is sealed later."""
import glob
import os
import random
import socket
import struct
import unittest

import lab
from traffic_test import enter, traffic

COUNT = 1_600_000  # three segments
SAMPLES = 25


def source_of(frame):
    """Source address and port of an IPv4 frame with ports, as bytes."""
    return frame[26:30] + frame[34:36]


class Flood(unittest.TestCase):
    def test_every_packet_is_found(self):
        with lab.Lab(flags=["--blocks=512"]) as one:
            sent = traffic("flood", "--tcp", "--count", COUNT)["sent"]
            one.wait_stored(sent, 60)
            stored, lost = one.counter("stored_packets"), one.lost()
            print("sent=%d stored=%d lost=%d index_full=%d raw_indexes=%d unindexed_blocks=%d"
                  % (sent, stored, lost, *map(one.counter, ("index_full", "raw_indexes", "unindexed_blocks"))))
            self.assertEqual(sent, stored + lost)
            self.assertGreaterEqual(one.counter("index_full"), stored // (512 * 1024))
            frames = [frame for _, _, frame in one.packets("tcp")]
            self.assertEqual(len(frames), stored)
            self.find_some(one, frames)

            # Raw indexes become sealed ones, and the answers stay.
            indexed = one.threads[0]["IndexDirectory"]
            lab.wait_for(lambda: not any(self.is_raw(path) for path in glob.glob(indexed + "/*")), 60, "raw indexes to be sealed")
            self.assertEqual(one.stats()["compacted_indexes"], one.counter("raw_indexes"))
            self.find_some(one, frames)

    def is_raw(self, path):
        """Flags in the footer (docs/FORMAT.md)."""
        with open(path, "rb") as file:
            file.seek(-128, os.SEEK_END)
            return struct.unpack_from("<I", file.read(128), 92)[0] & 1 == 1

    def find_some(self, one, frames):
        """Packets of some sources, asked for one by one."""
        wanted = {source_of(frame): [] for frame in random.Random(len(frames)).sample(frames, SAMPLES)}
        for frame in frames:
            if source_of(frame) in wanted:
                wanted[source_of(frame)].append(frame)
        for source, expected in wanted.items():
            host, port = socket.inet_ntoa(source[:4]), struct.unpack(">H", source[4:])[0]
            found = [frame for _, _, frame in one.packets("src host %s and src port %d" % (host, port))]
            self.assertEqual(found, expected)


if __name__ == "__main__":
    enter()
    lab.main()
