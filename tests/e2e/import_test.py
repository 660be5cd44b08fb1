"""Recording from capture files and from a peer (PCAP-over-IP): every packet comes back byte for byte, with its time to the
nanosecond, from the files on disk and from a server over them; errors are told and end with status 1."""
import collections
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
import unittest

import lab
import packet_files

SEED = int(os.environ.get("STENO_SEED", "20240229"))
EVERYTHING = "before 2106-12-31T00:00:00Z"


def classic(packets, order="<", nanoseconds=False, link=1):
    """The bytes of a pcap file of [(ns, frame)]."""
    magic, unit = (0xa1b23c4d, 1) if nanoseconds else (0xa1b2c3d4, 1000)
    out = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 262144, link)]
    for ns, frame in packets:
        out.append(struct.pack(order + "IIII", ns // 10**9, ns % 10**9 // unit, len(frame), len(frame)) + frame)
    return b"".join(out)


def pcapng(packets, order="<"):
    """One section with interfaces of µs, ns and 2^-10 s, used in turn."""
    def block(kind, body):
        body += bytes(-len(body) % 4)
        return struct.pack(order + "II", kind, len(body) + 12) + body + struct.pack(order + "I", len(body) + 12)

    out = [block(0x0a0d0d0a, struct.pack(order + "IHHq", 0x1a2b3c4d, 1, 0, -1))]
    for resolution in (6, 9, 0x8a):
        out.append(block(1, struct.pack(order + "HHI", 1, 0, 0) + struct.pack(order + "HHBxxx", 9, 1, resolution)))
    for number, (ns, frame) in enumerate(packets):
        units = (ns // 1000, ns, ns * 1024 // 10**9)[number % 3]
        out.append(block(6, struct.pack(order + "IIIII", number % 3, units >> 32, units & 0xffffffff, len(frame), len(frame))
                         + frame))
    return b"".join(out)


def frames(chance, count):
    """Frames of every kind: plain, tagged once and twice, MPLS, IPv6, jumbo."""
    made = []
    for number in range(count):
        source, destination = ("10.%d.0.%d" % (chance.randrange(3), chance.randrange(1, 30)) for _ in range(2))
        ports = chance.choice([53, 80, 443, 1024 + number]), chance.choice([53, 80, 5000])
        pick = number % 6
        frame = lab.udp4(source, destination, *ports, payload=b"%09d" % number, vlan=((), (5,), (6, 7))[pick % 3])
        if pick == 3:
            frame = frame[:12] + struct.pack(">HI", 0x8847, 0x000640ff | 1 << 8) + frame[14:]
        elif pick == 4:
            frame = lab.udp6("2001:db8::%x" % number, "2001:db8::1", *ports)
        elif pick == 5:
            frame += bytes(chance.choice([9000, 30000, 65000]) if number % 30 == 5 else 1400)
        made.append(frame)
    return made


def made_files(directory):
    """Captures of every format, and of every sort of time: in order, out of order, all equal, none, long ago, far ahead."""
    chance = random.Random(SEED)
    start = 1_600_000_000_123_456_789
    times = {
        "ordered": lambda i: start + i * 7_777_777,
        "unordered": lambda i: start + chance.randrange(10**12),
        "equal": lambda i: start,
        "none": lambda i: 0,
        "old": lambda i: 86400 * 10**9 * i + i,
        "ahead": lambda i: (2**32 - 1 - i) * 10**9 + 999_999_999,
    }
    paths = []
    for name, when in times.items():
        packets = [(when(i), frame) for i, frame in enumerate(frames(chance, 300))]
        for suffix, data in (("us.pcap", classic(packets)), ("be.pcap", classic(packets, ">")),
                             ("ns.pcap", classic(packets, nanoseconds=True)),
                             ("nsbe.pcap", classic(packets, ">", nanoseconds=True)),
                             ("pcapng", pcapng(packets)), ("be.pcapng", pcapng(packets, ">"))):
            paths.append("%s/%s.%s" % (directory, name, suffix))
            with open(paths[-1], "wb") as file:
                file.write(data)
    return paths


def store(root):
    """A --dir for stenotype over the directories that the first thread of a Lab at `root` has."""
    os.makedirs(root + "/dir", exist_ok=True)
    for name, target in (("PKT0", "pkt0"), ("IDX0", "idx0")):
        os.makedirs(root + "/" + target, exist_ok=True)
        if not os.path.islink("%s/dir/%s" % (root, name)):
            os.symlink(root + "/" + target, "%s/dir/%s" % (root, name))
    return root + "/dir"


def stenotype(root, *flags, **options):
    return subprocess.run([lab.BIN + "/stenotype", "--dir=" + store(root), *flags], capture_output=True, text=True, timeout=120,
                          **options)


class Import(unittest.TestCase):
    def check(self, one, originals):
        """The store of a running server gives back exactly these packets."""
        answer = one.packets(EVERYTHING)
        expected = sorted((p.ns // 1000 * 1000, p.original, p.frame) for p in originals)
        self.assertEqual([p[0] for p in answer], [p[0] for p in expected], "time order")
        self.assertEqual(sorted(answer), expected)
        chance = random.Random(SEED)
        for _ in range(25):
            ns = chance.choice(originals).ns + chance.choice([0, 0, 1, -1])
            for text, inside in (("after", lambda p, ns=ns: p.ns >= ns), ("before", lambda p, ns=ns: p.ns < ns)):
                if ns <= 0:
                    continue
                query = "%s %d.%09d and udp" % (text, ns // 10**9, ns % 10**9)
                wanted = collections.Counter(p.frame for p in originals if inside(p))
                got = collections.Counter(p[2] for p in one.packets(query))
                self.assertEqual(got - wanted, collections.Counter(), query)
        exact = chance.choice(originals).ns
        query = "after %d.%09d and before %d.%09d" % (exact // 10**9, exact % 10**9, (exact + 1) // 10**9, (exact + 1) % 10**9)
        self.assertEqual(len(one.packets(query)), sum(p.ns == exact for p in originals), query)

    def test_every_file_comes_back(self):
        with lab.Lab(start=False) as one:
            made = made_files(one.root)
            shared = lab.ethernet_pcaps()
            # One process per made file, as people do; all shared ones in one.
            for path in made:
                done = stenotype(one.root, "--read", path)
                self.assertEqual(done.returncode, 0, done.stderr)
            if shared:
                done = stenotype(one.root, "--filesize_mb=8", "--read", *shared)
                self.assertEqual(done.returncode, 0, done.stderr)
            by_file = {path: packet_files.read_capture(path) for path in made + shared}
            originals = [p for packets in by_file.values() for p in packets]
            print("imported %d packets of %d files" % (len(originals), len(made) + len(shared)))
            stored = packet_files.read_directory(one.root + "/pkt0")
            self.assertEqual(collections.Counter(p.key() for p in stored), collections.Counter(p.key() for p in originals))
            self.assertEqual({p.interface for p in stored}, {os.path.basename(path)[:15] for path, p in by_file.items() if p})
            self.assertEqual(sorted(os.listdir(one.root + "/pkt0")), sorted(os.listdir(one.root + "/idx0")))
            one.start()
            self.check(one, originals)

    def test_import_beside_a_running_recorder(self):
        with lab.Lab() as one:
            path = one.root + "/old.pcap"
            packets = [(1_000_000_000 * 10**9 + i, frame) for i, frame in enumerate(frames(random.Random(1), 500))]
            with open(path, "wb") as file:
                file.write(classic(packets, nanoseconds=True))
            for round_ in range(20):
                done = stenotype(one.root, "--read", path)
                self.assertEqual(done.returncode, 0, done.stderr)
                lab.send([lab.udp4("77.77.77.77", "1.2.3.4", 1, 2)])
            lab.wait_for(lambda: len(one.packets("before 2002-01-01T00:00:00Z")) == 20 * 500, 10, "the imported packets")
            lab.wait_for(lambda: len(one.packets("ip=77.77.77.77")) == 20, 10, "the recorded packets")
            names = set(filter(str.isdigit, os.listdir(one.root + "/pkt0")))
            self.assertEqual(names - set(os.listdir(one.root + "/idx0")), set(), "no index was taken for an orphan")

    def test_errors(self):
        with tempfile.TemporaryDirectory(prefix="steno-e2e-", dir="/var/tmp") as root:
            good = classic([(10**9, frame) for frame in frames(random.Random(1), 10)])
            cases = {"cut.pcap": (good[:-5], "byte %d" % len(good[:-len(frames(random.Random(1), 10)[-1])]), 9),
                     "text.pcap": (b"not a capture at all", "not a pcap or pcapng file", 0),
                     "empty.pcap": (b"", "byte 0: the input ends inside the magic number", 0),
                     "cooked.pcap": (classic([(1, b"x" * 60)], link=113), "link type 113: expected Ethernet", 0)}
            for name, (data, text, kept) in cases.items():
                path = root + "/" + name
                with open(path, "wb") as file:
                    file.write(data)
                before = len(packet_files.read_directory(store(root) + "/PKT0"))
                done = stenotype(root, "--read", path)
                self.assertEqual(done.returncode, 1, name)
                self.assertIn(text, done.stderr)
                self.assertIn(path, done.stderr)
                self.assertEqual(len(packet_files.read_directory(root + "/pkt0")) - before, kept, name)
            for flags, text, status in ((["--read", root], "is a directory", 1), (["--read", root + "/gone"], "No such file", 1),
                                        (["--read", "x", "--threads=2"], "--threads=1 only", 64),
                                        (["--read", "x", "--iface=cap0"], "both given", 64)):
                done = stenotype(root, *flags)
                self.assertEqual(done.returncode, status)
                self.assertIn(text, done.stderr)

    @unittest.skipUnless(shutil.which("tcpdump"), "tcpdump is not installed")
    def test_tcpdump_into_standard_input(self):
        with tempfile.TemporaryDirectory(prefix="steno-e2e-", dir="/var/tmp") as root:
            dump = subprocess.Popen(["tcpdump", "-i", "cap0", "-U", "--immediate-mode", "-B", "65536", "-w", "-"],
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            record = subprocess.Popen([lab.BIN + "/stenotype", "--dir=" + store(root), "--read", "-"], stdin=dump.stdout)
            dump.stdout.close()
            self.assertIn(b"listening", dump.stderr.readline())
            sent = frames(random.Random(2), 60)
            lab.send(sent)
            time.sleep(0.5)
            dump.send_signal(signal.SIGINT)
            self.assertEqual(record.wait(20), 0)
            dump.wait()
            dump.stderr.close()
            stored = packet_files.read_directory(root + "/pkt0")
            self.assertEqual([p.frame for p in stored], sent)
            self.assertEqual({p.interface for p in stored}, {"stdin"})


class Peer:
    """Sends what it is told to every client, one at a time."""

    def __init__(self, port=0):
        self.listener = socket.create_server(("127.0.0.1", port))
        self.listener.settimeout(20)
        self.port = self.listener.getsockname()[1]
        self.client = None

    def accept(self):
        self.client = self.listener.accept()[0]
        return self.client

    def close(self):
        if self.client:
            self.client.close()
        self.listener.close()


class PcapOverIp(unittest.TestCase):
    def test_peer_goes_and_comes(self):
        peer = Peer()
        try:
            with lab.Lab(settings={"Interface": "tcp@127.0.0.1:%d" % peer.port}, start=False) as one:
                one.start(wait=False)
                made = [(time.time_ns() + i, frame) for i, frame in enumerate(frames(random.Random(3), 200))]
                peer.accept().sendall(classic(made[:100], nanoseconds=True))
                one.wait_ready()
                began = time.monotonic()
                lab.wait_for(lambda: len(one.packets("last=1h")) == 100, 10, "the first stream's packets")
                print("found after %.2f s" % (time.monotonic() - began))
                self.assertEqual([p[2] for p in one.packets("last=1h")], [frame for _, frame in made[:100]])
                # The peer restarts; its new stream is of another format.
                port = peer.port
                peer.close()
                time.sleep(0.5)
                peer = Peer(port)
                peer.accept().sendall(pcapng(made[100:]))
                lab.wait_for(lambda: one.counter("stored_packets") == 200, 10, "the second stream's packets")
                wanted = sorted(frame for _, frame in made[:100] + made[100:])
                self.assertEqual(sorted(p[2] for p in one.packets("before 2106-12-31T00:00:00Z")), wanted)
                self.assertEqual(len(one.stenotypes()), 1)
                self.assertLess(one.stop(), 5)
                stored = packet_files.read_directory(one.root + "/pkt0")
                self.assertEqual(len(stored), 200)
                self.assertEqual({p.interface for p in stored}, {("tcp@127.0.0.1:%d" % port)[:15]})
                one.start()
        finally:
            peer.close()

    def test_a_silent_peer_does_not_hold_up_the_stop(self):
        for state in ("silent", "half a packet", "away"):
            with tempfile.TemporaryDirectory(prefix="steno-e2e-", dir="/var/tmp") as root:
                peer = Peer()
                recorder = subprocess.Popen([lab.BIN + "/stenotype", "--dir=" + store(root),
                                             "--iface=TCP@127.0.0.1:%d" % peer.port])
                client = peer.accept()
                sent = classic([(10**9, frame) for frame in frames(random.Random(1), 10)])
                client.sendall(sent if state == "away" else sent + b"\0" * 10 if state == "half a packet" else b"")
                time.sleep(0.3)
                if state == "away":
                    peer.close()
                    time.sleep(0.3)
                began = time.monotonic()
                recorder.send_signal(signal.SIGTERM)
                self.assertEqual(recorder.wait(10), 0, state)
                self.assertLess(time.monotonic() - began, 2, state)
                self.assertEqual(len(packet_files.read_directory(root + "/pkt0")), 0 if state == "silent" else 10)
                client.close()
                peer.close()

    def test_a_peer_is_held_up_and_nothing_is_lost(self):
        with tempfile.TemporaryDirectory(prefix="steno-e2e-", dir="/var/tmp") as root:
            peer = Peer()
            data = classic([(10**9 + i, frame) for i, frame in enumerate(frames(random.Random(5), 3000))], nanoseconds=True)
            recorder = subprocess.Popen([lab.BIN + "/stenotype", "--dir=" + store(root), "--blocks=8",
                                         "--iface=tcp@127.0.0.1:%d" % peer.port])
            client = peer.accept()
            sender = threading.Thread(target=lambda: (client.sendall(data), client.shutdown(socket.SHUT_WR)))
            sender.start()
            time.sleep(0.05)
            recorder.send_signal(signal.SIGSTOP)
            time.sleep(0.5)
            recorder.send_signal(signal.SIGCONT)
            sender.join()
            client.settimeout(20)
            client.recv(1)  # closed by the recorder, which has read all of it
            recorder.send_signal(signal.SIGTERM)
            self.assertEqual(recorder.wait(10), 0)
            stored = packet_files.read_directory(root + "/pkt0")
            self.assertEqual([p.ns for p in stored], [10**9 + i for i in range(3000)])
            client.close()
            peer.close()


if __name__ == "__main__":
    lab.enter()
    lab.main()
