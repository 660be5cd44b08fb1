"""Record and query: examples of both query languages, freshness, VLAN tags, errors, stop."""
import os
import socket
import struct
import subprocess
import time
import unittest

import lab

FRAMES = [
    lab.udp4("1.1.1.1", "2.2.2.2", 80, 6555, protocol=6),      # 0
    lab.udp4("1.1.1.1", "3.3.3.3", 5000, 8080, protocol=6),    # 1
    lab.udp4("9.9.9.9", "1.1.1.1", 443, 41000, protocol=6),    # 2
    lab.udp4("1.1.1.77", "8.8.8.8", 53, 53),                   # 3
    lab.udp4("1.1.2.200", "8.8.4.4", 1111, 53),                # 4
    lab.udp4("1.1.2.201", "8.8.4.4", 1112, 53),                # 5
    lab.udp6("2001:db8::1", "2001:db8::2", 546, 547),          # 6
    lab.udp6("2001:db8::ffff", "2001:db8:1::2", 1000, 2000),   # 7
    lab.udp4("4.4.4.4", "5.5.5.5", 7, 7, vlan=(42,)),          # 8
    lab.udp4("4.4.4.4", "5.5.5.6", 7, 7, vlan=(100, 200)),     # 9
    lab.udp4("1.1.1.1", "2.2.2.2", 80, 6555),                  # 10
]

EXAMPLES = {
    "ip=1.1.1.1 ip=2.2.2.2 last=45m": [0, 10],
    "ip=1.1.1.1 ip=2.2.2.2|ip=3.3.3.3": [0, 1, 10],
    "ip=1.1.1.1 port=80|port=8080|port=443": [0, 1, 2, 10],
    "ip=1.1.1.0-1.1.2.200": [0, 1, 2, 3, 4, 10],
    "ip=1.1.1.1 ip=2.2.2.2 port=80 port=6555 proto=6": [0],
    "ip=1.1.1.1 ip=2.2.2.2 port=80 port=6555 protocol=17": [10],
    "ip=2001:db8::1": [6],
    "ip=2001:db8::-2001:db8::ffff": [6, 7],
    "port=7": [8, 9],
    "last=4h": list(range(11)),
    "host 1.1.1.1 and port 443": [2],
    "net 1.1.2.0/24 and udp": [4, 5],
    "net 1.1.2.0 mask 255.255.255.0": [4, 5],
    "vlan 200": [9],
    "vlan 42 or port 546": [6, 8],
    "ip proto 6": [0, 1, 2],
    "(host 8.8.8.8 or host 8.8.4.4) and not src host 1.1.2.200": [3, 5],
    "net 2001:db8::/48": [6, 7],
    "after 3h ago and tcp": [0, 1, 2],
    "before 3h ago": [],
    "dst port 53 and src portrange 1000-1111": [4],
    "icmp": [],
}

WRONG = {
    "port=65555": ["65555", "column 6", "0..65535"],
    "ip=1.1.1": ["1.1.1", "column"],
    "host 1.2.3.4 and": ["column"],
    "(host 1.2.3.4": ["column"],
    "frobnicate": ["frobnicate", "column 1"],
    "": [],
    "last=5": ["column"],
    "before yesterday": ["column 8"],
}


class Record(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = lab.Lab()
        lab.send(FRAMES)
        cls.sent_at = time.monotonic()
        lab.wait_for(lambda: len(cls.lab.packets("last=1h")) >= len(FRAMES), 2, "all packets to be found within 2 s")
        cls.fresh = time.monotonic() - cls.sent_at

    @classmethod
    def tearDownClass(cls):
        cls.lab.stop()

    def test_fresh(self):
        print("first found %.3f s after sending" % self.fresh)
        self.assertLess(self.fresh, 2)

    def test_examples(self):
        for query, expected in EXAMPLES.items():
            with self.subTest(query):
                self.assertEqual([FRAMES.index(p[2]) for p in self.lab.packets(query)], expected)

    def test_times_and_lengths(self):
        packets = self.lab.packets("last=1h")
        self.assertEqual([p[2] for p in packets], FRAMES)
        self.assertEqual([p[1] for p in packets], [len(f) for f in FRAMES])
        self.assertEqual(sorted(packets, key=lambda p: p[0]), packets)

    def test_wrong_queries(self):
        for query, words in WRONG.items():
            with self.subTest(query):
                answer = self.lab.query(query)
                self.assertEqual(answer.status, 400)
                self.assertTrue(answer.text.startswith("could not parse query"), answer.text)
                for word in words:
                    self.assertIn(word, answer.text)
        self.test_examples()

    def test_limits(self):
        self.assertEqual(len(self.lab.query("last=1h", {"Steno-Limit-Packets": "3"}).packets), 3)
        self.assertEqual(len(self.lab.query("last=1h", {"Steno-Limit-Bytes": "0x10"}).body), 24)
        self.assertEqual(len(self.lab.query("last=1h", {"Steno-Limit-Bytes": "17"}).packets), 1)
        for wrong in ("x", "-1", "1e3"):
            answer = self.lab.query("last=1h", {"Steno-Limit-Packets": wrong})
            self.assertEqual(answer.status, 400)
            self.assertTrue(answer.text.startswith("Invalid Limit Headers"), answer.text)

    def test_wrong_requests(self):
        self.assertEqual(self.lab.get("/nowhere").status, 404)
        answer = self.lab.request("POST", "/query", body=b"ip=1.1.1.1 " * 7000)
        self.assertEqual(answer.status, 413)
        self.assertEqual(len(self.lab.query("ip=7.7.7.7").body), 24)

    def test_certificates(self):
        url = "https://127.0.0.1:%d/query" % self.lab.port
        own = ["--cert", self.lab.certs + "/client_cert.pem", "--key", self.lab.certs + "/client_key.pem"]
        trust = ["--cacert", self.lab.certs + "/ca_cert.pem"]
        curl = ["curl", "-sS", "-d", "ip=1.1.1.1", "-o", "-"]
        good = subprocess.run(curl + own + trust + [url], capture_output=True)
        self.assertEqual(good.returncode, 0, good.stderr)
        self.assertEqual(len(lab.read_pcap(good.stdout)), 4)
        none = subprocess.run(curl + trust + [url], capture_output=True)
        self.assertNotEqual(none.returncode, 0)
        other = self.lab.root + "/other-ca"
        os.mkdir(other)
        lab.run([lab.BIN + "/stenokeys", "--dir", other])
        foreign = subprocess.run(curl + ["--cert", other + "/client_cert.pem", "--key", other + "/client_key.pem"] + trust + [url],
                                 capture_output=True)
        self.assertNotEqual(foreign.returncode, 0)
        self.assertEqual(subprocess.run(curl + own + trust + [url], capture_output=True).returncode, 0)

    def stenoread(self, *arguments):
        return subprocess.run([lab.BIN + "/stenoread", *arguments], capture_output=True, text=True, env=self.lab.environment)

    def test_stenoread(self):
        done = self.stenoread("ip=2.2.2.2 proto=6", "-n")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("1.1.1.1.80 > 2.2.2.2.6555", done.stdout)
        out = self.lab.root + "/out.pcap"
        self.assertEqual(self.stenoread("ip=7.7.7.7", "-w", out).returncode, 0)
        self.assertEqual(os.path.getsize(out), 24)
        wrong = self.stenoread("port=65555", "-n")
        self.assertNotEqual(wrong.returncode, 0)
        self.assertIn("0..65535", wrong.stderr)

    def test_incumbent_client(self):
        """The incumbent's own stenoread and stenocurl work against this server."""
        if not os.path.exists("/usr/bin/stenocurl") or subprocess.run(["which", "jq"], capture_output=True).returncode != 0:
            self.skipTest("the incumbent's client package (and jq) is not installed")
        done = subprocess.run(["/usr/bin/stenoread", "host 2.2.2.2 and tcp", "-n"], capture_output=True, text=True,
                              env=self.lab.environment)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("1.1.1.1.80 > 2.2.2.2.6555", done.stdout)


class Stop(unittest.TestCase):
    def test_silent_link(self):
        with lab.Lab() as quiet:
            time.sleep(1)
            self.assertLess(quiet.stop(), 2)
            self.assertEqual(os.listdir(quiet.root + "/pkt0"), [], "a silent link makes no files")
            quiet.start()

    def test_everything_is_on_disk(self):
        """What had arrived before the signal is stored and indexed when the programs have ended."""
        with lab.Lab() as one:
            lab.send(FRAMES)
            one.stop()
            names = os.listdir(one.root + "/pkt0")
            self.assertEqual(len(names), 1)
            self.assertEqual(os.listdir(one.root + "/idx0"), names)
            self.assertEqual(one.stenotypes(), [])
            one.start()
            self.assertEqual([p[2] for p in one.packets("last=1h")], FRAMES)


if __name__ == "__main__":
    lab.enter()
    lab.main()
