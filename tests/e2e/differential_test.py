"""Answers of the recorder = a full scan by an independent decoder (tshark), packet for packet, over a replay of every shared
capture (or of made packets where there are none)."""
import collections
import ipaddress
import itertools
import os
import random
import shutil
import struct
import subprocess
import time
import unittest

import lab
import packet_files
import tshark_oracle
from import_test import frames

SEED = int(os.environ.get("STENO_SEED", "20240229"))


def made_capture(path):
    chance = random.Random(SEED)
    frames = []
    for _ in range(5000):
        pick = chance.randrange(4)
        hosts = ["10.1.%d.%d" % (chance.randrange(3), chance.randrange(20)) for _ in range(2)]
        ports = [chance.choice([31001, 31002, 31003, 40001, 50001]) for _ in range(2)]  # of no known protocol
        if pick == 0:
            frames.append(lab.udp6("2001:db8::%x" % chance.randrange(40), "2001:db8:1::%x" % chance.randrange(40), *ports))
        elif pick == 1:
            frames.append(lab.udp4(*hosts, *ports, vlan=chance.choice([(5,), (5, 7), (100,)])))
        else:
            frames.append(lab.udp4(*hosts, *ports, protocol=chance.choice([6, 17])))
    lab.write_pcap(path, [(i, len(f), f) for i, f in enumerate(frames)])
    return path


class Differential(unittest.TestCase):
    @unittest.skipUnless(shutil.which("tshark"), "tshark is not installed")
    def test_answers(self):
        print("seed", SEED)
        self.chance = random.Random(SEED)
        with lab.Lab() as self.lab:
            files = lab.ethernet_pcaps() or [made_capture(self.lab.root + "/made.pcap")]
            sent_path, reference = self.lab.root + "/sent.pcap", self.lab.root + "/reference.pcap"
            report = lab.replay(files, "--pps", "50000", "--write-sent", sent_path)
            self.lab.wait_stored(report["sent"])
            self.everything = self.lab.packets("last=1h")
            with open(sent_path, "rb") as file:
                sent = lab.read_pcap(file.read())
            self.assertEqual(len(self.everything), len(sent))
            for number, (stored, original) in enumerate(zip(self.everything, sent)):
                self.assertEqual(stored[2], original[2], "packet %d byte for byte, VLAN tags included" % number)
                self.assertEqual(stored[1], len(original[2]))
            self.assertEqual(self.everything, sorted(self.everything, key=lambda p: p[0]), "time order")
            lab.write_pcap(reference, self.everything)
            self.seen = tshark_oracle.decode(reference)
            self.assertEqual(len(self.seen), len(sent))
            doubtful = sum(s.doubtful for s in self.seen)
            print("replayed %d packets of %d files; %d of doubtful decoding are left out" % (len(sent), len(files), doubtful))
            self.assertLess(doubtful, len(sent) // 5)
            self.compare()

    def compare(self):
        compared, failures, matched = 0, [], 0
        queries = list(self.queries())
        for text, predicate in queries:
            expected = [i for i, s in enumerate(self.seen) if not s.doubtful and predicate(i, s)]
            answer = self.lab.packets(text)
            self.assertEqual(answer, sorted(answer, key=lambda p: p[0]))
            mine = collections.Counter((p[0], p[1], p[2]) for p in answer)
            want = collections.Counter(self.everything[i] for i in expected)
            free = collections.Counter(self.everything[i] for i, s in enumerate(self.seen) if s.doubtful)
            missing, extra = want - mine, mine - want - free
            compared += 1
            matched += len(expected)
            if missing or extra:
                failures.append("%s: %d missing, %d extra of %d; first missing %s; first extra %s" % (
                    text, sum(missing.values()), sum(extra.values()), len(expected), self.name(missing), self.name(extra)))
        print("compared %d queries, %d matching packets" % (compared, matched))
        self.assertGreaterEqual(compared, 60)
        self.assertEqual(failures, [], "\n".join(failures))

    def name(self, packets):
        return ["frame %d" % (self.everything.index(p) + 1) for p in itertools.islice(packets, 3)]

    def some(self, values, count):
        """Values of the traffic, common and rare ones."""
        tally = collections.Counter(values)
        common = [v for v, _ in tally.most_common(count)]
        return common + self.chance.sample(sorted(tally, key=str), min(count, len(tally)))

    def queries(self):
        usable = [s for s in self.seen if not s.doubtful]
        v4 = self.some([a for s in usable for a in s.addresses if a.version == 4], 4)
        v6 = self.some([a for s in usable for a in s.addresses if a.version == 6], 2) or [ipaddress.ip_address("2001:db8::1")]
        ports = self.some([p for s in usable for p in s.ports], 3)
        protocols = self.some([p for s in usable for p in s.protocols], 3)
        vlans = self.some([v for s in usable for v in s.vlans], 1)
        mpls = self.some([m for s in usable for m in s.mpls], 1)
        terms = {"ip": [self.address(a) for a in v4], "ip6": [self.address(a) for a in v6],
                 "range": [self.range(a) for a in v4[:3] + v6[:2]],
                 "port": [("port=%d" % p, lambda i, s, p=p: p in s.ports) for p in ports],
                 "protocol": [("protocol=%d" % p, lambda i, s, p=p: p in s.protocols) for p in protocols],
                 "time": [self.time_bound(part) for part in (0.1, 0.5, 0.9)]}
        for options in terms.values():
            if options[0][0].startswith("after"):
                yield from (self.filter_only(t) for t in options)
            else:
                yield from options
        for one, other in itertools.combinations_with_replacement([k for k in terms if k != "time"], 2):
            for _ in range(2):
                a, b = self.chance.choice(terms[one]), self.chance.choice(terms[other])
                yield a[0] + " " + b[0], lambda i, s, a=a, b=b: a[1](i, s) and b[1](i, s)
                yield a[0] + "|" + b[0], lambda i, s, a=a, b=b: a[1](i, s) or b[1](i, s)
        yield from self.filter_queries(v4, v6, ports, vlans, mpls, terms["time"])

    def filter_only(self, term):
        return term

    def address(self, a):
        return "ip=%s" % a, lambda i, s: a in s.addresses

    def range(self, a):
        last = a + self.chance.randrange(1, 5000)
        return "ip=%s-%s" % (a, last), lambda i, s: any(x.version == a.version and a <= x <= last for x in s.addresses)

    def time_bound(self, part):
        """A bound inside the replay, 500 ns off the microseconds that the output shows."""
        ns = self.everything[int(len(self.everything) * part)][0]
        end = ns + 20_000_000
        text = "after %d.%09d and before %d.%09d" % (ns // 10**9, ns % 10**9, end // 10**9, end % 10**9)
        return text, lambda i, s: ns <= self.everything[i][0] < end

    def filter_queries(self, v4, v6, ports, vlans, mpls, times):
        for v in vlans:
            yield "vlan %d" % v, lambda i, s, v=v: v in s.vlans
        for m in mpls:
            yield "mpls %d" % m, lambda i, s, m=m: m in s.mpls
        for a in v4[:3]:
            net = ipaddress.ip_network("%s/20" % a, strict=False)
            yield "ip net %s" % net, lambda i, s, net=net: any(x in net for x in s.addresses)
            yield "ip host %s and not port %d" % (a, ports[0]), lambda i, s, a=a: a in s.addresses and ports[0] not in s.ports
        for a in v6[:2]:
            net = ipaddress.ip_network("%s/48" % a, strict=False)
            yield "ip6 net %s" % net, lambda i, s, net=net: any(x in net for x in s.addresses)
        for name, number in (("tcp", 6), ("udp", 17), ("icmp", 1), ("sctp", 132), ("icmp6", 58)):
            yield name, lambda i, s, number=number: number in s.protocols
        for text, inside in times:
            yield "(%s) and tcp" % text, lambda i, s, f=inside: f(i, s) and 6 in s.protocols
            yield "(%s) and port %d" % (text, ports[0]), lambda i, s, f=inside: f(i, s) and ports[0] in s.ports


class FromTheWire(unittest.TestCase):
    """What the ring saw is on disk as it was on the wire, with the kernel's times to the nanosecond."""

    def test_tags_and_sizes_and_times(self):
        chance = random.Random(SEED)
        sent = frames(chance, 120)
        for outer in (0x8100, 0x88a8):
            inner = lab.udp4("10.9.9.9", "10.9.9.8", 5000, outer, vlan=(7,))
            sent.append(inner[:12] + struct.pack(">HH", outer, 0x6001) + inner[12:])
        with lab.Lab() as one:
            begin = time.time_ns()
            lab.send(sent)
            one.wait_stored(len(sent))
            end = time.time_ns()
            one.stop()
            stored = packet_files.read_directory(one.root + "/pkt0")
            self.assertEqual([p.frame for p in stored], sent)
            self.assertEqual([p.original for p in stored], [len(frame) for frame in sent])
            self.assertEqual({p.interface for p in stored}, {"cap0"})
            times = [p.ns for p in stored]
            self.assertEqual(times, sorted(times))
            self.assertTrue(begin <= times[0] and times[-1] <= end)
            self.assertTrue(any(ns % 1000 for ns in times))
            one.start()
            for packet in chance.sample(stored, 20):
                ns = packet.ns
                text = "after %d.%09d and before %d.%09d" % (ns // 10**9, ns % 10**9, (ns + 1) // 10**9, (ns + 1) % 10**9)
                self.assertEqual([p[2] for p in one.packets(text)], [p.frame for p in stored if p.ns == ns], text)


if __name__ == "__main__":
    lab.enter()
    lab.main()
