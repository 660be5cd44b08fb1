"""A store that the Debian package `stenographer` has written is served as it is: with its index every query gives the packets that
it gives without, and files and indexes stay as they were. With STENO_INCUMBENT_SHARED set,
the shared captures are replayed instead of made frames."""
import glob
import os
import random
import shutil
import signal
import struct
import subprocess
import tempfile
import time
import unittest

import lab
import packet_files
from import_test import frames

SEED = int(os.environ.get("STENO_SEED", "20240229"))
INCUMBENT = "/usr/sbin/stenotype"
EVERYTHING = "before 2106-12-31T00:00:00Z"


def tunnels():
    """What the incumbent knows the outermost layer of, or nothing."""
    inner = lab.udp4("10.9.9.9", "10.9.9.8", 31011, 31012)[14:]
    inner6 = lab.udp6("2001:db8::9", "2001:db8::8", 31031, 31032)
    outer = lab.udp4("10.1.1.5", "10.2.0.1", 0, 0, b"")

    def ip(protocol, payload):
        header = bytearray(outer[14:34])
        header[2:4], header[9], header[10:12] = struct.pack(">H", 20 + len(payload)), protocol, b"\0\0"
        return outer[:14] + bytes(header) + payload

    for protocol in (6, 17):  # it lists ports of whole headers only
        yield lab.udp4("10.1.1.7", "10.2.0.1", 31071, 31072, protocol=protocol)[:38]
    yield ip(4, inner)
    yield ip(41, inner6[14:])
    yield ip(47, b"\0\0\x08\0" + inner)
    yield ip(132, struct.pack(">HHII", 31021, 31022, 0, 0))
    yield lab.udp4("10.1.1.6", "10.2.0.1", 31099, 4789, b"\x08\0\0\0\0\0\x05\0" + outer[:14] + inner)
    yield bytes.fromhex("ffffffffffff020000000001080600010800060400010200000000010a0101040000000000000a020001") + bytes(18)
    plain = lab.udp6("2001:db8::5", "2001:db8::6", 31051, 31052)
    for extension in (0, 43, 60):
        body = bytes([17, 0, 1, 4, 0, 0, 0, 0]) + plain[54:]
        yield plain[:18] + struct.pack(">H", len(body)) + bytes([extension]) + plain[21:54] + body


def plain(chance):
    hosts = ["10.1.%d.%d" % (chance.randrange(4), chance.randrange(250)) for _ in range(2)]
    ports = chance.choice([53, 80, 443]), chance.randrange(30000, 40000)
    if chance.randrange(10) == 0:
        return lab.udp6("2001:db8::%x" % chance.randrange(99), "2001:db8:1::%x" % chance.randrange(99), *ports)
    return lab.udp4(*hosts, *ports, payload=bytes(chance.randrange(30, 600)), protocol=chance.choice([6, 17]))


def record(directory, files):
    """Records a replay of the files with the incumbent until it has completed what it holds; returns the packets sent."""
    for name in ("PKT0", "IDX0"):
        os.mkdir(directory + "/" + name)
    with open(directory + "/log", "w") as log:
        # As root, or it becomes nobody, who may not write here.
        recorder = subprocess.Popen([INCUMBENT, "--dir=" + directory, "--iface=cap0", "--threads=1", "--blocks=128", "--blockage_sec=1",
                                     "--fileage_sec=10", "--seccomp=none", "--uid=root", "--gid=root"], stdout=log, stderr=log)
    try:
        lab.wait_for(lambda: len(content("/proc/self/net/packet").splitlines()) > 1, 20, "the incumbent's packet socket")
        time.sleep(1)
        sent = lab.replay(files, "--pps", "50000")["sent"]
        began = time.monotonic()
        while not complete(directory) or time.monotonic() < began + 3:
            lab.send([lab.udp4("10.7.0.1", "10.7.0.2", 31001, 31002)])  # it looks at its clock when packets come
            time.sleep(0.3)
            if time.monotonic() > began + 40:
                raise AssertionError("no complete file:\n" + content(directory + "/log").decode()[-2000:])
        return sent
    finally:
        recorder.send_signal(signal.SIGKILL)
        recorder.wait()


def complete(directory):
    return [name for name in os.listdir(directory + "/IDX0") if not name.startswith(".")]


def content(path):
    with open(path, "rb") as file:
        return file.read()


def contents(directory):
    return {path: content(path) for path in glob.glob(directory + "/idx0/[0-9]*")}


def some_queries(chance, packets):
    """Queries of every kind that the index has a part in, most of which match."""
    queries = ["arp", "ip6", "tcp", "udp", "ip proto 47", "icmp", "mpls", "vlan 5", "sctp", "not udp", "port 31012", "host 10.9.9.9",
               "host 2001:db8::9", "net 2001:db8::/64 and portrange 31031-31060", "port 31021", "host 10.1.1.4", "ip host 10.1.1.4",
               "net 10.0.0.0/8 and not port 53", "src host 10.1.1.5", "ether src 02:00:00:00:00:01", "ip=10.9.9.0-10.9.9.255",
               "net 0.0.0.0/0 and port 65431", "port 31071", "tcp port 31072", "ip proto 0-255", "portrange 0-65535 and host 10.7.0.1"]
    for _ in range(60):
        frame = chance.choice(packets)[2]
        if frame[12:14] != b"\x08\0" or len(frame) < 38:
            continue
        source, target = (".".join(map(str, frame[at:at + 4])) for at in (26, 30))
        port = struct.unpack(">H", frame[36:38])[0]
        queries.append(chance.choice([
            "host %s" % source, "host %s and host %s" % (source, target), "port %d" % port, "net %s/24 and port %d" % (source, port),
            "ip=%s port=%d" % (target, port), "src host %s and not port %d" % (source, port), "ip proto %d and net %s/28" % (frame[23], target),
            "host %s or port %d" % (source, port), "tcp port %d or udp port %d" % (port, port)]))
    return queries


class IncumbentStore(unittest.TestCase):
    @unittest.skipUnless(os.access(INCUMBENT, os.X_OK), "the package stenographer is not installed")
    def test_its_index_is_used_and_right(self):
        print("seed", SEED)
        chance = random.Random(SEED)
        directory = tempfile.mkdtemp(prefix="steno-e2e-", dir="/var/tmp")
        self.addCleanup(shutil.rmtree, directory, True)
        files = lab.ethernet_pcaps() if "STENO_INCUMBENT_SHARED" in os.environ else []
        made_here = not files
        if made_here:
            files = [directory + "/made.pcap"]
            # Of what the index does not know, or not enough, not too much: it is to be seen that the index helps.
            strange = [frame for frame in frames(chance, 600) if len(frame) < 9000] + list(tunnels()) * 3
            chance.shuffle(strange)
            made = [plain(chance) for _ in range(20000)]
            made[3000:3000] = strange
            lab.write_pcap(files[0], [(i, len(f), f) for i, f in enumerate(made)])
        sent = record(directory, files)
        roots = {}
        for name in ("with", "without"):
            roots[name] = directory + "/" + name
            for part in ("pkt0", "idx0"):
                os.makedirs("%s/%s" % (roots[name], part))
            for file in complete(directory):
                shutil.copy("%s/PKT0/%s" % (directory, file), roots[name] + "/pkt0")
                if name == "with":
                    shutil.copy("%s/IDX0/%s" % (directory, file), roots[name] + "/idx0")
        before = contents(roots["with"])
        self.assertTrue(before)
        with lab.Lab(directory=roots["with"]) as one:
            everything = one.packets(EVERYTHING)
            self.assertGreaterEqual(len(everything), sent)
            queries = some_queries(chance, everything)
            scanned = one.stats()["query_files_scanned"]
            answers = {query: one.packets(query + " and " + EVERYTHING if "=" not in query else query) for query in queries}
            self.assertEqual(one.stats()["query_files_scanned"], scanned, "files read without their index")
            self.assertEqual(contents(roots["with"]), {**contents(roots["with"]), **before}, "indexes of the incumbent")
            decoded = one.stats()["packets_scanned"]
        with lab.Lab(directory=roots["without"]) as other:
            for query, packets in answers.items():
                expected = other.packets(query + " and " + EVERYTHING if "=" not in query else query)
                self.assertEqual(packets, expected, query)
        print("%d packets; %d queries, %d packets the same; %d decoded for them with the index, %d without"
              % (len(everything), len(answers), sum(map(len, answers.values())), decoded, len(everything) * len(answers)))
        if made_here:
            self.assertLess(decoded, len(everything) * len(answers) // 2, "decoded with the index")
        self.assertGreater(sum(1 for packets in answers.values() if packets), len(answers) // 2)


if __name__ == "__main__":
    lab.enter()
    lab.main()
