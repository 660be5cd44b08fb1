#!/usr/bin/env python3
"""stenoread and stenocurl, as programs, against a server of this test's own over mutual TLS and a Unix socket, with the
certificates that stenokeys makes and the real tcpdump. Usage: stenoread_test.py DIRECTORY_OF_PROGRAMS"""
import http.server
import json
import os
import socket
import socketserver
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

BIN = os.path.abspath(sys.argv.pop(1))
PACKETS = 20


def make_pcap(packets):
    """A capture of DNS-sized UDP packets from 10.0.0.1 to 10.0.0.2."""
    out = struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65536, 1)
    for i in range(packets):
        ip = bytes.fromhex("450000300000000040110000") + bytes([10, 0, 0, 1, 10, 0, 0, 2])
        frame = bytes(12) + b"\x08\x00" + ip + struct.pack(">HHHH", 1000 + i, 53, 28, 0) + bytes(20)
        out += struct.pack("<IIII", 1700000000, i, len(frame), len(frame)) + frame
    return out


PLAN = {"query": "port 53", "after": None, "before": "2023-11-14T22:13:20Z", "from_index": ["port 53"], "from_packets": [],
        "files": {"total": 5, "outside_time": 2, "ruled_out": 0, "nothing_to_read": 1, "gone": 0, "to_read": 2,
                  "without_index": 0},
        "blocks": 3, "reads": 4, "bytes": 65536, "problems": []}


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers by the words of the query: empty, refuse, cut, limit, break, stall, and otherwise PACKETS packets."""
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.requests.append((self.command, self.path, dict(self.headers), b""))
        self.reply(200, b"packets\t5\n")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append((self.command, self.path, dict(self.headers), body))
        if self.path == "/query/explain" and b"refuse" not in body:
            return self.reply(200, json.dumps(PLAN).encode())
        if b"refuse" in body:
            return self.reply(400, b"could not parse query: column 1: expected a term\n")
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        pcap = make_pcap(0 if b"empty" in body else PACKETS)
        for at in range(0, len(pcap), 100):
            self.chunk(pcap[at:at + 100])
        if b"break" in body:
            self.close_connection = True
            return None
        if b"stall" in body:
            self.server.released.wait(30)
        reason = b"timeout" if b"cut" in body else b"limit-packets" if b"limit" in body else None
        trailers = b"Steno-Complete: true\r\n"
        if reason:
            trailers = b"Steno-Complete: false\r\nSteno-Reason: " + reason + b"\r\n"
        self.wfile.write(b"0\r\n" + trailers + b"\r\n")
        return None

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def reply(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

    def address_string(self):
        return "client"


class TlsServer(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass


class UnixServer(TlsServer):
    address_family = socket.AF_UNIX

    def server_bind(self):
        socketserver.TCPServer.server_bind(self)


class StenoreadTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.root = cls.scratch.name
        os.chmod(cls.root, 0o777)  # a tcpdump that gives up root writes here
        for name in ("certs", "other"):
            subprocess.run([BIN + "/stenokeys", "--dir", "%s/%s" % (cls.root, name)], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cls.root + "/certs/server_cert.pem", cls.root + "/certs/server_key.pem")
        context.load_verify_locations(cls.root + "/certs/ca_cert.pem")
        context.verify_mode = ssl.CERT_REQUIRED
        cls.tls = TlsServer(("127.0.0.1", 0), Handler)
        cls.port = cls.tls.server_address[1]
        cls.tls.socket = context.wrap_socket(cls.tls.socket, server_side=True)
        cls.unix = UnixServer(cls.root + "/socket", Handler)
        for server in (cls.tls, cls.unix):
            server.released = threading.Event()
            threading.Thread(target=server.serve_forever, daemon=True).start()

    @classmethod
    def tearDownClass(cls):
        for server in (cls.tls, cls.unix):
            server.released.set()
            server.shutdown()
            server.server_close()
        cls.scratch.cleanup()

    def setUp(self):
        self.tls.requests, self.unix.requests = [], []
        self.config = {"Host": "127.0.0.1", "Port": self.port, "CertPath": self.root + "/certs", "Interface": "x"}
        self.out = self.root + "/out.pcap"
        if os.path.exists(self.out):
            os.remove(self.out)

    def run_program(self, program, *arguments, **environment):
        with open(self.root + "/config", "w") as file:
            json.dump(self.config, file)
        return subprocess.run([BIN + "/" + program, *arguments], capture_output=True, timeout=60, stdin=subprocess.DEVNULL,
                              env={**os.environ, "STENOGRAPHER_CONFIG": self.root + "/config", **environment})

    def stenoread(self, *arguments, **environment):
        return self.run_program("stenoread", *arguments, **environment)

    def assert_failed(self, done, status, *words):
        self.assertEqual(done.returncode, status, done)
        for word in words:
            self.assertIn(word, done.stderr.decode())

    def test_prints_packets_over_mutual_tls(self):
        done = self.stenoread("port 53", "-n", "-tt", "udp")
        self.assertEqual(done.returncode, 0, done)
        self.assertIn("Running stenographer query 'port 53', piping to 'tcpdump -n -tt udp'\n", done.stderr.decode())
        lines = done.stdout.decode().splitlines()
        self.assertEqual(len(lines), PACKETS)
        self.assertTrue(lines[0].startswith("1700000000.000000 IP 10.0.0.1.1000 > 10.0.0.2.53"), lines[0])
        (command, path, headers, body), = self.tls.requests
        self.assertEqual((command, path, body), ("POST", "/query", b"port 53"))
        self.assertNotIn("Steno-Limit-Packets", headers)

    def test_sends_limits_and_gives_later_options_to_tcpdump(self):
        done = self.stenoread("--limit-packets", "6", "--limit-bytes", "0x800", "limit me", "-n", "-c", "3")
        self.assertEqual(done.returncode, 0, done)
        self.assertEqual(len(done.stdout.splitlines()), 3)
        headers = self.tls.requests[0][2]
        self.assertEqual((headers["Steno-Limit-Packets"], headers["Steno-Limit-Bytes"]), ("6", "2048"))

    def test_saves_all_and_nothing(self):
        self.assertEqual(self.stenoread("all", "-w", self.out).returncode, 0)
        with open(self.out, "rb") as file:
            self.assertEqual(file.read()[24:], make_pcap(PACKETS)[24:])
        done = self.stenoread("empty", "-w", self.out)
        self.assertEqual(done.returncode, 0, done)
        self.assertEqual(os.path.getsize(self.out), 24)

    def test_saves_to_standard_output(self):
        done = self.stenoread("all", "-U", "-w", "-")
        self.assertEqual(done.stdout[24:], make_pcap(PACKETS)[24:])

    def test_a_refused_query_starts_no_tcpdump(self):
        done = self.stenoread("refuse this", "-w", self.out)
        self.assert_failed(done, 1, "the server answered 400: could not parse query: column 1: expected a term")
        self.assertFalse(os.path.exists(self.out))
        self.assertNotIn("tcpdump:", done.stderr.decode())

    def test_explains_without_tcpdump(self):
        done = self.stenoread("--explain", "port 53")
        self.assertEqual(done.returncode, 0, done)
        self.assertEqual(done.stderr, b"")
        text = done.stdout.decode()
        self.assertEqual(text.splitlines()[0], "query          port 53")
        self.assertIn("times          before 2023-11-14T22:13:20Z", text)
        self.assertIn("files          2 to read of 5, 2 outside the times, 1 with nothing to read", text)
        self.assertEqual(self.tls.requests[0][1], "/query/explain")
        self.assertEqual(self.tls.requests[0][3], b"port 53")
        done = self.stenoread("--explain", "refuse this")
        self.assert_failed(done, 1, "column 1: expected a term")

    def test_a_cut_result_is_saved_and_reported(self):
        for query, word in (("cut", "timeout"), ("break", "incomplete")):
            done = self.stenoread(query, "-w", self.out)
            self.assert_failed(done, 2, "stenoread: the result is incomplete, packets are missing", word)
            with open(self.out, "rb") as file:
                self.assertEqual(file.read()[24:], make_pcap(PACKETS)[24:])

    def test_time_runs_out(self):
        self.assert_failed(self.stenoread("--max-time", "1", "stall", "-n"), 2, "incomplete")

    def test_tcpdump_that_ends_early_ends_the_query(self):
        begin = time.monotonic()
        done = self.stenoread("stall", "-n", "-c", "5")
        self.assertEqual(done.returncode, 0, done)
        self.assertEqual(len(done.stdout.splitlines()), 5)
        self.assertLess(time.monotonic() - begin, 15)

    def test_returns_the_status_of_tcpdump(self):
        done = self.stenoread("all", "-n", "not a filter ((")
        self.assertEqual(done.returncode, 1, done)
        self.assertIn("tcpdump:", done.stderr.decode())

    def test_finds_tcpdump_outside_path_and_says_where_it_looked(self):
        self.assertEqual(self.stenoread("all", "-n", PATH="/nowhere").returncode, 0)

    def test_the_unix_socket_comes_first(self):
        self.config["UnixSocket"] = self.root + "/socket"
        self.config["CertPath"] = "/nowhere"
        done = self.stenoread("all", "-n")
        self.assertEqual(done.returncode, 0, done)
        self.assertEqual((len(self.unix.requests), len(self.tls.requests)), (1, 0))

    def test_https_where_the_socket_is_not_to_be_had(self):
        self.config["UnixSocket"] = self.root + "/absent"
        self.assertEqual(self.stenoread("all", "-n").returncode, 0)
        self.assertEqual(len(self.tls.requests), 1)

    def test_a_server_on_all_addresses(self):
        for host in ("0.0.0.0", ""):
            self.config["Host"] = host
            self.assertEqual(self.stenoread("all", "-n").returncode, 0)
            self.assertEqual(self.run_program("stenocurl", "/debug/stats").returncode, 0)

    def test_proxies_of_the_environment_are_not_used(self):
        done = self.stenoread("all", "-n", https_proxy="http://127.0.0.1:1", ALL_PROXY="http://127.0.0.1:1")
        self.assertEqual(done.returncode, 0, done)

    def test_nobody_there(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.config["Port"] = probe.getsockname()[1]
        self.config["UnixSocket"] = self.root + "/absent"
        done = self.stenoread("all", "-w", self.out)
        self.assert_failed(done, 1, "cannot reach the server: unix:%s/absent: No such file or directory" % self.root,
                           "https://127.0.0.1:%d: Connection refused" % self.config["Port"])
        self.assertFalse(os.path.exists(self.out))

    def test_a_server_with_the_certificate_of_another_authority(self):
        self.config["CertPath"] = self.root + "/other"
        self.assert_failed(self.stenoread("all"), 1, "cannot reach the server", "certificate")
        self.assertEqual(self.tls.requests, [])

    def test_credentials_that_cannot_be_read_are_named(self):
        self.config["CertPath"] = self.root
        self.assert_failed(self.stenoread("all"), 1, "cannot read %s/client_key.pem" % self.root, "No such file")
        self.assert_failed(self.run_program("stenocurl", "/debug/stats"), 1, self.root + "/client_key.pem is missing")

    @unittest.skipIf(os.geteuid() != 0 or not os.path.exists("/usr/sbin/runuser"), "needs root and runuser")
    def test_credentials_of_others_are_named_with_their_owner(self):
        subprocess.run(["chgrp", "-h", "-R", "0", self.root + "/certs"], check=True)
        self.run_program("stenocurl", "/debug/stats")  # writes the configuration
        for program, argument, words in (("stenoread", "all", "it belongs to user root, group root (mode 0440)"),
                                         ("stenocurl", "/debug/stats", "belongs to user root, group root, mode 440")):
            done = subprocess.run(["/usr/sbin/runuser", "-u", "nobody", "--", BIN + "/" + program, argument], timeout=60,
                                  capture_output=True, env={**os.environ, "STENOGRAPHER_CONFIG": self.root + "/config"})
            if b"/" + program.encode() + b": Permission denied" in done.stderr:
                self.skipTest("nobody may not run the programs here")
            self.assert_failed(done, 1, "user nobody", words)

    def test_wrong_use(self):
        self.assert_failed(self.stenoread(), 1, "Usage: stenoread")
        self.assert_failed(self.stenoread("--frob", "q"), 1, "--frob: unknown option")
        self.assert_failed(self.stenoread("--config", "/nowhere", "q"), 1, "/nowhere", "No such file")
        self.assertIn(b"Usage: stenoread", self.stenoread("--help").stdout)
        self.assertRegex(self.stenoread("--version").stdout, rb"^stenoread \d+\.\d+\.\d+\n$")
        self.assert_failed(self.run_program("stenocurl"), 1, "Usage: stenocurl")

    def test_stenocurl(self):
        done = self.run_program("stenocurl", "/debug/stats")
        self.assertEqual((done.returncode, done.stdout), (0, b"packets\t5\n"), done)
        done = self.run_program("stenocurl", "query", "-d", "port 53", "-H", "Steno-Limit-Packets: 2")
        self.assertEqual(done.stdout, make_pcap(PACKETS))
        self.assertEqual(self.tls.requests[-1][1], "/query")
        self.assertEqual(self.tls.requests[-1][2]["Steno-Limit-Packets"], "2")
        self.assertEqual(self.tls.requests[-1][3], b"port 53")


if __name__ == "__main__":
    unittest.main()
