"""Interfaces: several at a time, missing ones, removed ones; superpackets; the truth about losses; filters in place."""
import os
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import unittest

import lab

ADD_PAIR = "ip link add {0} type veth peer name {1} && ip link set {0} up && ip link set {1} up"


def shell(command):
    lab.run(["sh", "-c", command])


def add_pair(capture, transmit):
    shell(ADD_PAIR.format(capture, transmit))
    lab.wait_for(lambda: "state UP" in lab.run(["ip", "-o", "link", "show", capture]), 5, capture + " to come up")


def remove_pair(capture):
    subprocess.run(["ip", "link", "del", capture], capture_output=True)


def frames(first, count):
    return [lab.udp4("10.0.%d.%d" % (number >> 8 & 255, number & 255), "192.168.0.1", 1000 + number % 50000, 53,
                     b"%012d" % number) for number in range(first, first + count)]


def number_of(frame):
    return int(frame[42:54])


def recorded_blocks(directory):
    """[(file name, thread, interface, drops)] of the blocks of all complete packet files (docs/FORMAT.md)."""
    found = []
    for name in sorted(os.listdir(directory)):
        if name.startswith("."):
            continue
        with open(os.path.join(directory, name), "rb") as file:
            data = file.read()
        at = 0
        while at < len(data):
            header = data[at + 48:at + 512]
            disk_bytes, = struct.unpack_from("<I", header, 72)
            drops, = struct.unpack_from("<Q", header, 80)
            thread, = struct.unpack_from("<H", header, 102)
            found.append((name, thread, header[112:128].rstrip(b"\0").decode(), drops))
            at += disk_bytes
    return found


class SeveralInterfaces(unittest.TestCase):
    def setUp(self):
        add_pair("cap1", "tx1")

    def tearDown(self):
        remove_pair("cap1")

    def check_removal(self, threads):
        with lab.Lab(threads=threads, settings={"Interface": ["cap0", "cap1"]}) as one:
            lab.send(frames(0, 200), "tx0")
            lab.send(frames(1000, 200), "tx1")
            one.wait_stored(400)
            pids = set(one.stenotypes())
            self.assertEqual(len(pids), 2)

            remove_pair("cap1")
            lab.wait_for(lambda: one.get("/readyz").status == 503, 5, "/readyz to notice that cap1 is gone")
            reasons = one.get("/readyz").text
            self.assertIn("interface cap1", reasons)
            self.assertNotIn("cap0", reasons)
            lab.send(frames(200, 200), "tx0")
            one.wait_stored(600)

            add_pair("cap1", "tx1")
            begin = time.monotonic()
            one.wait_ready()
            print("threads=%d: cap1 is recorded again %.2f s after it was back" % (threads, time.monotonic() - begin))
            lab.send(frames(1200, 200), "tx1")
            lab.send(frames(400, 100), "tx0")
            expected = sorted([*range(500), *range(1000, 1400)])
            lab.wait_for(lambda: len(one.packets("last=1h")) >= len(expected), 10, "all packets to be found")
            answer = one.packets("last=1h")
            self.assertEqual(sorted(number_of(p[2]) for p in answer), expected)
            self.assertTrue(all(a[0] <= b[0] for a, b in zip(answer, answer[1:])), "in time order over both interfaces")

            stats = one.stats()
            self.assertEqual(stats["interface_cap1_first_thread"], threads)
            self.assertEqual(stats["interface_cap0_starts"], 1, "cap0 was not disturbed")
            self.assertIn(next(iter(pids & set(one.stenotypes()))), pids)
            self.assertEqual(one.get("/readyz").status, 200)
            one.stop()
            self.check_files(one, threads)
            one.start()
            self.assertEqual(len(one.packets("last=1h")), len(expected))

    def check_files(self, one, threads):
        """Each packet file is one interface's, and tells so; names never meet."""
        interfaces = set()
        for number in range(threads):
            for name, thread, interface, _ in recorded_blocks(one.root + "/pkt%d" % number):
                self.assertEqual(int(name) % (2 * threads), thread)
                self.assertEqual(thread % threads, number)
                self.assertEqual(interface, "cap%d" % (thread // threads))
                interfaces.add(interface)
        self.assertEqual(interfaces, {"cap0", "cap1"})

    def test_one_is_removed_with_1_thread(self):
        self.check_removal(1)

    def test_one_is_removed_with_2_threads(self):
        self.check_removal(2)


class MissingInterface(unittest.TestCase):
    def test_recording_begins_when_it_appears(self):
        remove_pair("cap9")
        one = lab.Lab(settings={"Interface": ["cap9", "cap0"]}, start=False)
        one.start(wait=False)
        try:
            lab.wait_for(lambda: "interface cap9: it does not exist" in one.get("/readyz").text, 10, "/readyz to say what is missing")
            lab.wait_for(lambda: "cap0" not in one.get("/readyz").text, 10, "cap0 to be recorded all the same")
            lab.send(frames(0, 50))
            lab.wait_for(lambda: len(one.packets("last=1h")) == 50, 5, "cap0's packets")
            time.sleep(1)
            self.assertEqual(one.log().count("interface cap9 does not exist: stenotype is started once it does"), 1)
            self.assertIn("interface 'cap9' does not exist; there are: ", one.log())
            add_pair("cap9", "tx9")
            begin = time.monotonic()
            one.wait_ready()
            print("recorded %.2f s after the interface appeared" % (time.monotonic() - begin))
            lab.send(frames(50, 50), "tx9")
            lab.wait_for(lambda: len(one.packets("last=1h")) == 100, 5, "cap9's packets")
            one.stop()
        finally:
            print(one.log()[-3000:] if sys.exc_info()[0] else "", end="")
            one.kill()
            remove_pair("cap9")


class DownAndUp(unittest.TestCase):
    def test_promiscuity_and_packets(self):
        with lab.Lab(threads=2) as one:
            self.assertIn("promiscuity 2 ", lab.run(["ip", "-d", "link", "show", "cap0"]))
            lab.send(frames(0, 300))
            shell("ip link set cap0 down; ip link set cap0 up")
            lab.wait_for(lambda: "state UP" in lab.run(["ip", "-o", "link", "show", "tx0"]), 5, "tx0 to be up again")
            lab.send(frames(300, 300))
            lab.wait_for(lambda: len(one.packets("last=1h")) >= 600, 5, "all packets")
            self.assertEqual(sorted(number_of(p[2]) for p in one.packets("last=1h")), list(range(600)))
            self.assertEqual(one.stats()["stenotype_starts"], 1)
        self.assertIn("promiscuity 0 ", lab.run(["ip", "-d", "link", "show", "cap0"]))


class Superpackets(unittest.TestCase):
    """A TCP transfer between two network namespaces with all offloads on: what crosses is far larger than the MTU."""
    BYTES = 20_000_000

    def setUp(self):
        self.peer = subprocess.Popen(["unshare", "--net", "sleep", "600"])
        mine, theirs = os.readlink("/proc/self/ns/net"), "/proc/%d/ns/net" % self.peer.pid
        lab.wait_for(lambda: os.readlink(theirs) != mine, 5, "the peer's namespace")
        add_pair("capg", "txg")
        shell("ip link set txg netns %d && ip addr add 10.9.9.1/24 dev capg" % self.peer.pid)
        self.inside = ["nsenter", "--net=" + theirs]
        lab.run([*self.inside, "sh", "-c", "ip addr add 10.9.9.2/24 dev txg && ip link set txg up && "
                 "ethtool -K txg tso on gso on gro on > /dev/null"])
        shell("ethtool -K capg tso on gso on gro on > /dev/null")

    def tearDown(self):
        self.peer.kill()
        self.peer.wait()
        remove_pair("capg")

    def transfer(self, payload):
        """The peer sends `payload` to us by TCP."""
        with socket.create_server(("10.9.9.1", 7777)) as server:
            sender = subprocess.Popen([*self.inside, sys.executable, "-c",
                                       "import socket, sys; s = socket.create_connection(('10.9.9.1', 7777)); "
                                       "s.sendall(sys.stdin.buffer.read()); s.close()"], stdin=subprocess.PIPE)
            feeder = threading.Thread(target=sender.communicate, args=(payload,))
            feeder.start()
            connection, _ = server.accept()
            received = bytearray()
            while chunk := connection.recv(1 << 20):
                received += chunk
            feeder.join()
            connection.close()
        self.assertEqual(bytes(received), payload)

    def test_tcp_with_offloads_is_recorded_whole(self):
        payload = random.Random(9).randbytes(self.BYTES)
        with lab.Lab(settings={"Interface": "capg"}, flags=["--direction=in"]) as one:
            self.transfer(payload)
            lab.wait_for(lambda: one.counter("stored_bytes") > self.BYTES, 10, "the transfer to be stored")
            time.sleep(1.5)
            self.assertEqual(one.lost(), 0)
            packets = one.packets("tcp and src host 10.9.9.2")
        stream, first, largest = bytearray(self.BYTES), None, 0
        for _, original, frame in packets:
            self.assertEqual(original, len(frame), "whole")
            largest = max(largest, len(frame))
            sequence, = struct.unpack_from(">I", frame, 38)
            if frame[47] & 2:  # SYN
                first = sequence + 1
                continue
            data = frame[14 + 20 + (frame[46] >> 4) * 4:14 + struct.unpack_from(">H", frame, 16)[0]]
            at = (sequence - first) & 0xffffffff
            stream[at:at + len(data)] = data
        print("%d packets, the largest of %d bytes" % (len(packets), largest))
        self.assertEqual(bytes(stream), payload)
        self.assertGreater(largest, 20_000)


class Losses(unittest.TestCase):
    def test_what_is_not_stored_is_counted(self):
        """The ring overflows while stenotype is held up; every packet is either stored or counted as lost."""
        with lab.Lab(flags=["--blocks=8", "--stats_sec=1"]) as one:
            pid, = one.stenotypes()
            lab.send(frames(0, 100))
            one.wait_stored(100)
            os.kill(pid, signal.SIGSTOP)
            try:
                lab.send(frames(100, 80_000))
            finally:
                os.kill(pid, signal.SIGCONT)
            one.wait_stored(80_100)
            lab.send(frames(80_100, 100))
            one.wait_stored(80_200)
            stored, lost = one.counter("stored_packets"), one.lost()
            print("sent=80200 stored=%d lost=%d" % (stored, lost))
            self.assertEqual(stored + lost, 80_200)
            self.assertGreater(lost, 1000)
            self.assertEqual(one.counter("ring_drops"), lost)
            self.assertGreater(one.counter("ring_freezes"), 0)
            self.assertEqual(len(one.packets("last=1h")), stored)
            lab.wait_for(lambda: "packets were lost: %d because rings were full, 0 by the card, " % lost in one.log(), 5,
                         "the warning")
            lab.wait_for(lambda: one.counter("ring_drops_second") == 0, 5, "a second without drops")
            one.stop()
            self.assertEqual(sum(block[3] for block in recorded_blocks(one.root + "/pkt0")), lost,
                             "block headers tell where packets are missing")
            line = [text for text in one.log().splitlines() if "Thread 0 stats:" in text][-1]
            words = line[line.index("Thread 0 stats:"):].split()
            self.assertIn("drops=%d" % lost, words)
            one.start()


class Flags(unittest.TestCase):
    def test_filter_snaplen_and_places_in_the_sandbox(self):
        flags = ["--filter=(udp and not port 22) or vlan 5", "--snaplen=100", "--numa_node=0", "--timestamp_source=auto"]
        if not os.path.exists("/sys/devices/system/node/node0"):
            flags[2] = "--numa_node=auto"
        long = lab.udp4("1.1.1.1", "2.2.2.2", 9, 9, b"z" * 1000)
        wanted = [lab.udp4("1.1.1.1", "2.2.2.2", 53, 9), lab.udp4("3.3.3.3", "4.4.4.4", 80, 22, vlan=(5,)), long]
        unwanted = [lab.udp4("1.1.1.1", "2.2.2.2", 22, 9), lab.udp4("1.1.1.1", "2.2.2.2", 80, 9, protocol=6),
                    lab.udp4("3.3.3.3", "4.4.4.4", 80, 22, vlan=(6,))]
        with lab.Lab(flags=flags) as one:
            lab.send([frame for pair in zip(unwanted, wanted) for frame in pair])
            lab.wait_for(lambda: len(one.packets("last=1h")) >= 3, 5, "the packets")
            answer = one.packets("last=1h")
            self.assertEqual([frame for _, _, frame in answer[:2]], wanted[:2])
            self.assertEqual([(original, frame) for _, original, frame in answer[2:]], [(len(long), long[:100])])
            self.assertEqual(len(one.packets("host 2.2.2.2 and port 53")), 1)
            self.assertIn("interface cap0: packets are stamped by the kernel's clock: its driver has no", one.log())

    def refusal(self, flags=(), **settings):
        one = lab.Lab(flags=flags, settings=settings, start=False)
        one.start(wait=False)
        try:
            lab.wait_for(lambda: "its last lines:" in one.log(), 10, "stenotype to end")
            return one.log()
        finally:
            one.stop()

    def test_refusals_say_why(self):
        self.assertIn("--filter='tcp prot 80': can't parse filter expression", self.refusal(["--filter=tcp prot 80"]))
        self.assertIn("--timestamp_source=nic: interface cap0: its driver has no hardware time stamps",
                      self.refusal(["--timestamp_source=nic"]))
        self.assertIn("interface 'any': the packets of all interfaces together", self.refusal(Interface="any"))
        self.assertIn("--numa_node=999: expected auto, none or one of the nodes", self.refusal(["--numa_node=999"]))


if __name__ == "__main__":
    lab.enter()
    lab.main()
