"""The gRPC interface: results as by HTTP, limits and errors as statuses, clients that leave or read slowly, strangers. Fills a
store with 500 MB in /var/tmp, and removes it."""
import hashlib
import itertools
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import threading
import time
import unittest

import rpc_client  # first: it may start another Python
import lab

BIG = "udp port 7000"
SMALL = "udp port 53"
BIG_PACKETS, SMALL_PACKETS = 56_000, 300
FRAME_BYTES = 9000
# What the server's private memory may grow by; a sanitizer keeps freed memory for a while.
MAX_GROWTH_MIB = 256 if b"__asan_init" in rpc_client.read(lab.BIN + "/stenographer") else 64
START_NS = 1_700_000_000 * 10**9


def write_capture(out):
    """56,000 frames of 9000 bytes to one port and a few hundred small ones, all different."""
    out.write(struct.pack("<IHHiIII", 0xa1b23c4d, 2, 4, 0, 0, 262144, 1))

    def put(number, frame):
        ns = START_NS + number * 1000
        out.write(struct.pack("<IIII", ns // 10**9, ns % 10**9, len(frame), len(frame)) + frame)

    big = lab.udp4("10.0.0.1", "10.0.0.2", 40000, 7000, payload=bytes(FRAME_BYTES - 42))[:-8]
    for number in range(BIG_PACKETS):
        put(number, big + struct.pack(">Q", number))
    for number in range(SMALL_PACKETS):
        put(BIG_PACKETS + number, lab.udp4("10.0.0.3", "10.0.0.4", 1000 + number, 53, payload=b"%06d" % number))


class RpcTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        root = lab.roomy_directory(2 << 30)
        cls.certs = root + "/certs"
        cls.rpc_port = lab.free_port()
        cls.lab = lab.Lab(directory=root, settings={"Rpc": rpc_client.settings(cls.certs, cls.rpc_port)}, start=False)
        cls.lab.fill(write_capture)
        cls.lab.start()

    @classmethod
    def tearDownClass(cls):
        cls.lab.kill()
        shutil.rmtree(cls.lab.root, ignore_errors=True)

    def assert_logged(self, text):
        self.assertTrue(text in self.lab.log(), "%s is not in the log, which ends\n%s" % (text, self.lab.log()[-2000:]))

    def client(self):
        client = rpc_client.Client(self.rpc_port, self.certs, self.certs)
        self.addCleanup(client.channel.close)
        return client

    def restart(self, **changes):
        """With other settings, until the test ends."""
        def run_with(config):
            if self.lab.process.poll() is None:
                self.lab.stop()
            with open(self.lab.config_path, "w") as file:
                json.dump(config, file)
            self.lab.start()

        config = {**self.lab.config, **changes}
        config["Rpc"] = {**self.lab.config["Rpc"], **changes.get("Rpc", {})}
        self.addCleanup(run_with, self.lab.config)
        run_with(config)

    def bytes_read(self):
        """By the server since its start, from files and whatever else."""
        with open("/proc/%d/io" % self.lab.process.pid) as file:
            return int(re.search(r"rchar: (\d+)", file.read())[1])

    def slow_call(self, client, **terms):
        """(call, its first message, bytes that the server has read for it) of a call of which no more is read for now, once
        the query stands still."""
        begin, seen = self.bytes_read(), []
        call = client.retrieve(BIG, **terms)
        first = next(call)

        def stands_still():
            seen.append(self.bytes_read())
            return len(seen) > 20 and seen[-1] - seen[-20] < 1 << 20
        lab.wait_for(stands_still, 60, "the query to wait for its client")
        return call, first[1], seen[-1] - begin

    def wait_idle(self):
        lab.wait_for(lambda: self.lab.stats()["queries_running"] == 0, 20, "the query to end")

    def http_digest(self, query):
        """(SHA-256, length) of what HTTP gives."""
        connection = lab.UnixConnection(self.lab.socket, 120)
        connection.request("POST", "/query", body=query.encode())
        answer, digest, size = connection.getresponse(), hashlib.sha256(), 0
        for piece in iter(lambda: answer.read(1 << 20), b""):
            digest.update(piece)
            size += len(piece)
        connection.close()
        return digest.hexdigest(), size

    def test_small_results_are_those_of_http(self):
        with self.client() as client:
            http = self.lab.query(SMALL)
            self.assertEqual(len(http.packets), SMALL_PACKETS)
            data, trailing = client.fetch(SMALL)
            self.assertEqual(data, http.body)
            self.assertEqual(trailing, {name.lower(): value for name, value in http.trailers.items()})
            self.assertEqual(trailing["steno-packets"], str(SMALL_PACKETS))
            self.assertEqual(trailing["steno-complete"], "true")

    def test_uid_and_chunk_size(self):
        with self.client() as client:
            whole = self.lab.query(SMALL).body
            for chunk_size, most in ((600, 600), (1, 512), (0, 64 << 10), (1 << 40, 256 << 10)):
                pieces = list(client.retrieve(SMALL, uid="job/7 \u00e9", chunk_size=chunk_size))
                self.assertEqual({uid for uid, _ in pieces}, {"job/7 \u00e9"})
                self.assertEqual(b"".join(piece for _, piece in pieces), whole)
                self.assertLessEqual(max(len(piece) for _, piece in pieces), most)
                self.assertNotIn(b"", [piece for _, piece in pieces])
            uids = [{uid for uid, _ in client.retrieve(SMALL, chunk_size=600)} for _ in range(2)]
            self.assertEqual([len(uid) for uid in uids], [1, 1])
            self.assertNotEqual(*uids)
            self.assertRegex(uids[0].pop(), "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")

    def test_no_packet_is_no_message(self):
        with self.client() as client:
            call = client.retrieve("port 9")
            self.assertEqual(list(call), [])
            self.assertEqual(call.code().name, "OK")
            self.assertEqual((rpc_client.trailers(call)["steno-packets"], rpc_client.trailers(call)["steno-complete"]),
                             ("0", "true"))

    def test_wrong_requests(self):
        with self.client() as client:
            before = self.lab.stats()["queries_invalid"]
            for query in ("port abc", "host", "", "(" * 300):
                code, text, _ = rpc_client.failure(client.retrieve(query))
                self.assertEqual(code, "INVALID_ARGUMENT", query)
                http = self.lab.query(query)
                self.assertEqual((http.status, http.text.strip()), (400, text.strip()))
            for terms, text in (({"chunk_size": -1}, "chunk_size: -1"), ({"max_size": -2}, "max_size: -2"),
                                ({"uid": "x" * 300}, "uid: 300 bytes")):
                code, details, _ = rpc_client.failure(client.retrieve(SMALL, **terms))
                self.assertEqual(code, "INVALID_ARGUMENT")
                self.assertIn(text, details)
            self.assertEqual(self.lab.stats()["queries_invalid"] - before, 11)
            for garbage in (b"\xff", b"\x0a\x05abc", b"\x22\x01\xff", rpc_client.field(4, "\0"), os.urandom(1000)):
                call = client.channel.unary_stream("/steno.Stenographer/RetrievePcap")(garbage, timeout=20)
                self.assertIn(rpc_client.failure(call)[0], ("UNIMPLEMENTED", "INTERNAL", "INVALID_ARGUMENT"), garbage)
            code, _, _ = rpc_client.failure(client.retrieve("port 53 or " * 10_000 + "port 53"))
            self.assertEqual(code, "RESOURCE_EXHAUSTED", "a request that is too large")
            self.assertEqual(len(lab.read_pcap(client.fetch(SMALL)[0])), SMALL_PACKETS)

    def test_limits(self):
        with self.client() as client:
            http = self.lab.query(SMALL, headers={"Steno-Limit-Bytes": "5000"})
            data, trailing = client.fetch(SMALL, max_size=5000)
            self.assertEqual(data, http.body)
            self.assertLess(len(data), 5100)
            self.assertEqual((trailing["steno-complete"], trailing["steno-reason"]), ("false", "limit-bytes"))
        self.restart(Rpc={"ServerPcapMaxSize": 4000, "ClientPcapMaxSize": 2000, "ClientPcapChunkSize": 1000,
                          "ServerPcapPath": "/tmp"})
        with self.client() as client:
            sizes = {wanted: len(client.fetch(SMALL, max_size=wanted)[0]) for wanted in (0, 1000, 3000, 10**12)}
            for wanted, most in ((0, 2000), (1000, 1000), (3000, 3000), (10**12, 4000)):
                self.assertTrue(most - 100 < sizes[wanted] < most + 100, sizes)
            self.assertLessEqual(max(len(piece) for _, piece in client.retrieve(SMALL)), 1000)
            self.assert_logged("ServerPcapPath")

    def test_a_large_result_takes_little_memory(self):
        digest, size = self.http_digest(BIG)
        self.assertEqual(size, 24 + BIG_PACKETS * (16 + FRAME_BYTES))
        with self.client() as client:
            client.fetch(SMALL)
            fetched, got, begin = hashlib.sha256(), 0, time.monotonic()
            with lab.Rss(self.lab.process.pid) as rss:
                before = rss.most
                call = client.retrieve(BIG)
                for _, piece in call:
                    fetched.update(piece)
                    got += len(piece)
            print("%d MB in %.1f s; the server's private memory went from %.0f to %.0f MiB" %
                  (got / 1e6, time.monotonic() - begin, before, rss.most))
            self.assertEqual((fetched.hexdigest(), got), (digest, size))
            self.assertEqual(rpc_client.trailers(call)["steno-bytes"], str(size))
            self.assertLess(rss.most - before, MAX_GROWTH_MIB)

    def test_a_slow_client_makes_the_query_wait(self):
        digest, size = self.http_digest(BIG)
        with self.client() as client, lab.Rss(self.lab.process.pid) as rss:
            before = rss.most
            call, data, read = self.slow_call(client)
            self.assertEqual(self.lab.stats()["queries_running"], 1)
            self.assertLess(read, size / 2)
            fetched, got = hashlib.sha256(data), len(data)
            for _, piece in call:
                fetched.update(piece)
                got += len(piece)
            self.assertEqual((fetched.hexdigest(), got), (digest, size))
            print("it waited after %.0f MB; private memory from %.0f to %.0f MiB" % (read / 1e6, before, rss.most))
            self.assertLess(rss.most - before, MAX_GROWTH_MIB)

    def test_clients_that_leave(self):
        with self.client() as client:
            cut = self.lab.stats()["queries_cut"]
            call, *_ = self.slow_call(client)
            call.cancel()
            self.wait_idle()
            self.assertEqual(self.lab.stats()["queries_cut"], cut + 1)
            call, *_ = self.slow_call(client, timeout=5)  # the deadline passes while nobody reads
            self.wait_idle()
            self.assertEqual(rpc_client.failure(call)[0], "DEADLINE_EXCEEDED")
            call, *_ = self.slow_call(client)
        self.wait_idle()  # the connection is closed
        self.assertEqual(self.lab.stats()["queries_cut"], cut + 3)
        with self.client() as client:
            calls = [client.retrieve(BIG) for _ in range(40)]
            for call in calls:
                call.cancel()
            lab.wait_for(lambda: self.lab.stats()["queries_running"] + self.lab.stats()["queries_waiting"] == 0, 20,
                         "all queries to end")
            self.assertEqual(len(lab.read_pcap(client.fetch(SMALL)[0])), SMALL_PACKETS)

    def test_many_at_once(self):
        whole = self.lab.query(SMALL).body
        with self.client() as client:
            for _ in range(20):
                calls = [client.retrieve(SMALL, chunk_size=600) for _ in range(16)]
                for call in calls:
                    self.assertEqual(b"".join(piece for _, piece in call), whole)

    def test_no_slot(self):
        self.restart(Query={"MaxConcurrent": 1})
        with self.client() as client:
            call, *_ = self.slow_call(client)
            code, text, _ = rpc_client.failure(client.retrieve(SMALL))
            self.assertEqual(code, "RESOURCE_EXHAUSTED")
            self.assertIn("all query slots are in use", text)
            self.assertEqual(self.lab.stats()["queries_refused"], 1)
            call.cancel()
            self.wait_idle()
            self.assertEqual(len(lab.read_pcap(client.fetch(SMALL)[0])), SMALL_PACKETS)

    def test_roles_hold(self):
        self.restart(Roles=[{"Name": "few", "Certificates": ["*"], "Operations": ["query"], "Filter": "host 10.0.0.3",
                             "MaxPackets": 7}, {"Name": "local", "Users": ["*"]}])
        with self.client() as client:
            data, trailing = client.fetch("udp")
            packets = lab.read_pcap(data)
            self.assertEqual((len(packets), trailing["steno-reason"]), (7, "limit-packets"))
            self.assertEqual({frame[26:30] for _, _, frame in packets}, {bytes([10, 0, 0, 3])})
        self.restart(Roles=[{"Name": "local", "Users": ["*"]}])
        with self.client() as client:
            self.assertEqual(rpc_client.failure(client.retrieve(SMALL))[0], "PERMISSION_DENIED")
            self.assertEqual(client.health("steno.Stenographer"), 1)

    def test_health_and_reflection(self):
        with self.client() as client:
            self.assertEqual(client.health(""), 1)
            self.assertEqual(client.health("steno.Stenographer"), 1)
            services = client.reflect(7, "")
            for name in (b"steno.Stenographer", b"grpc.health.v1.Health"):
                self.assertIn(name, services)
            self.assertIn(b"RetrievePcap", client.reflect(4, "steno.Stenographer"))

    def refused(self, client):
        """A connection that is not let in."""
        with client:
            code, text, _ = rpc_client.failure(client.retrieve(SMALL, timeout=30))
            self.assertEqual(code, "UNAVAILABLE", text)

    def test_strangers(self):
        other = self.lab.root + "/stranger"
        os.mkdir(other)
        lab.run([lab.BIN + "/stenokeys", "--dir", other])
        before = self.lab.stats()["http_request_query_POST_completed"]
        self.refused(rpc_client.Client(self.rpc_port, self.certs, other))
        self.refused(rpc_client.Client(self.rpc_port, self.certs))
        self.refused(rpc_client.Client(self.rpc_port, other, self.certs))  # a server that the client does not know
        self.assertEqual(self.lab.stats()["http_request_query_POST_completed"], before)
        self.assert_logged("gRPC: ")
        self.restart(Tls={"AllowedNames": ["nobody"]})
        self.refused(self.client())
        self.assert_logged("is not allowed")

    def test_revoked_certificates(self):
        lab.revoke(self.certs, None, "crl.pem")
        self.restart(Tls={"RevocationList": self.certs + "/crl.pem"})
        with self.client() as client:
            self.assertEqual(len(lab.read_pcap(client.fetch(SMALL)[0])), SMALL_PACKETS)
        lab.revoke(self.certs, "client_cert.pem", "crl.pem")
        self.refused(self.client())  # without a signal: the list is looked into at every handshake
        self.assert_logged("certificate revoked")
        os.remove(self.certs + "/crl.pem")
        self.refused(self.client())
        self.assert_logged("No such file")
        with open(self.lab.config_path, "w") as file:
            json.dump(self.lab.config, file)
        self.lab.process.send_signal(signal.SIGHUP)
        lab.wait_for(lambda: "reloaded: " in self.lab.log(), 10, "the configuration to be reloaded")
        with self.client() as client:
            self.assertEqual(client.health(""), 1)

    def test_wrong_certificates_are_told_at_the_start(self):
        for change, text in (({"ServerKey": self.certs + "/client_key.pem"}, "key values mismatch"),
                             ({"CaCert": self.certs + "/none.pem"}, "none.pem: No such file")):
            config = {**self.lab.config, "Port": lab.free_port(), "UnixSocket": self.lab.root + "/other.sock",
                      "Rpc": {**self.lab.config["Rpc"], **change, "ServerPort": lab.free_port()}}
            with open(self.lab.root + "/wrong", "w") as file:
                json.dump(config, file)
            for check in ([], ["-check_config"]):
                done = subprocess.run([lab.BIN + "/stenographer", "-config", self.lab.root + "/wrong", "-syslog=false", *check],
                                      capture_output=True, text=True, timeout=60)
                self.assertNotEqual(done.returncode, 0)
                self.assertRegex(done.stdout + done.stderr, "Rpc: .*" + text)

    def test_new_certificates_are_read(self):
        fresh = self.lab.root + "/fresh"
        os.mkdir(fresh)
        lab.run([lab.BIN + "/stenokeys", "--dir", fresh])
        names = ("ca_cert.pem", "server_cert.pem", "server_key.pem")
        old = {name: rpc_client.read("%s/%s" % (self.certs, name)) for name in names}

        def install(contents):
            for name, data in contents.items():
                with open(self.lab.root + "/new.pem", "wb") as file:
                    file.write(data)
                os.replace(self.lab.root + "/new.pem", os.path.realpath("%s/%s" % (self.certs, name)))

        def answers(identity):
            with rpc_client.Client(self.rpc_port, identity, identity) as client:
                try:
                    return client.health("") == 1
                except rpc_client.grpc.RpcError:
                    return False
        self.assertFalse(answers(fresh))
        install({name: rpc_client.read("%s/%s" % (fresh, name)) for name in names})
        lab.wait_for(lambda: answers(fresh), 60, "the server to take its new certificates")
        install(old)
        lab.wait_for(lambda: answers(self.certs), 60, "the server to take the old ones again")

    def test_stenotype_gets_no_connection(self):
        def sockets(pid):
            links = (os.readlink("/proc/%d/fd/%s" % (pid, fd)) for fd in os.listdir("/proc/%d/fd" % pid))
            return {link for link in links if link.startswith("socket:")}
        with self.client() as client:
            client.fetch(SMALL)
            pids = self.lab.stenotypes()
            os.kill(pids[0], signal.SIGKILL)  # another one is started while clients are connected
            lab.wait_for(lambda: self.lab.stenotypes() not in ([], pids), 20, "the next stenotype")
            self.lab.wait_ready()
            server = sockets(self.lab.process.pid)
            self.assertGreater(len(server), 2)
            self.assertEqual(server & set(itertools.chain(*map(sockets, self.lab.stenotypes()))), set())

    def test_stop_while_a_client_reads_slowly(self):
        self.restart()
        with self.client() as client:
            call, *_ = self.slow_call(client)
            self.assertLess(self.lab.stop(), 10)
            code, _, trailing = rpc_client.failure(call)
            print("the client was told", code, trailing)
            self.assertIn(code, ("UNAVAILABLE", "CANCELLED"))

    def test_a_port_in_use(self):
        """Nobody shares the port with the server, and the error says which key is wrong."""
        config = {**self.lab.config, "Port": lab.free_port(), "UnixSocket": self.lab.root + "/other.sock"}
        with open(self.lab.root + "/second", "w") as file:
            json.dump(config, file)
        second = subprocess.run([lab.BIN + "/stenographer", "-config", self.lab.root + "/second", "-syslog=false"],
                                capture_output=True, text=True, timeout=60)
        self.assertEqual(second.returncode, 1)
        self.assertIn("Rpc.ServerPort", second.stderr)


if __name__ == "__main__":
    lab.enter()
    lab.main()
