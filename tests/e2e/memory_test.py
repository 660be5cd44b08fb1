"""The server's memory is bounded whatever its clients do: 20 slow readers of everything, over packets whose times have no order at all,
and a thousand small queries at the same moment. Fills 400 MB in /var/tmp, and removes it."""
import http.client
import os
import random
import selectors
import socket
import ssl
import struct
import time
import unittest

import lab

PACKETS, FRAME_BYTES = 200_000, 1900
START_NS = 1_700_000_000 * 10**9
READERS, BYTES_PER_SECOND, SECONDS = 20, 100_000, 20
IN_TURN = 40  # queries, one after another
IDLE = 400  # connections that have had an answer and stay
IDLE_KB = 96  # what each may keep of the server's memory
CACHE_MB = 64
LIMIT_MB = 256 + CACHE_MB


def write_capture(out):
    """Frames of one flow at random times within a day: each file of the store covers all of it."""
    out.write(struct.pack("<IHHiIII", 0xa1b23c4d, 2, 4, 0, 0, 262144, 1))
    frame = lab.udp4("10.0.0.1", "10.0.0.2", 40000, 7000, payload=bytes(FRAME_BYTES - 42))[:-8]
    source = random.Random(1)
    for number in range(PACKETS):
        ns = START_NS + source.randrange(86400 * 10**9)
        out.write(struct.pack("<IIII", ns // 10**9, ns % 10**9, FRAME_BYTES, FRAME_BYTES) + frame + struct.pack(">Q", number))


class Memory(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        root = lab.roomy_directory(2 << 30)
        cls.lab = lab.Lab(directory=root, settings={"IndexCacheMB": CACHE_MB}, start=False)
        cls.lab.fill(write_capture, "--filesize_mb=32")
        cls.lab.start()

    @classmethod
    def tearDownClass(cls):
        cls.lab.stop()

    def ask(self, query):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(self.lab.socket)
        connection.sendall(b"POST /query HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(query) + query)
        return connection

    def test_slow_readers(self):
        for _ in range(IN_TURN):  # each of the server's threads keeps what it has needed, if it may
            self.lab.query("udp port 7000", {"Steno-Limit-Bytes": "1000000"})
        with lab.Rss(self.lab.process.pid) as rss:
            readers = [self.ask(b"udp port 7000") for _ in range(READERS)]
            begin, got = time.monotonic(), [0] * READERS
            while time.monotonic() < begin + SECONDS:
                for at, reader in enumerate(readers):
                    if got[at] <= BYTES_PER_SECOND * (time.monotonic() - begin):
                        reader.setblocking(False)
                        try:
                            got[at] += len(reader.recv(16384))
                        except BlockingIOError:
                            pass
                time.sleep(0.005)
            running = int(self.lab.stats()["queries_running"])
        for reader in readers:
            reader.close()
        print("%d of %d queries ran, %.0f MiB anonymous memory at most" % (running, READERS, rss.most))
        self.assertGreaterEqual(running, 16)
        self.assertGreater(min(sorted(got)[-16:]), BYTES_PER_SECOND, "those that run get their packets: %s" % got)
        self.assertLess(rss.most, LIMIT_MB)
        lab.wait_for(lambda: self.lab.stats()["queries_running"] == 0, 10, "the queries to end with their clients")
        self.assertEqual(len(self.lab.packets("udp port 7000 and after 2023-11-14T22:13:20Z and before 2023-11-14T22:14:20Z")),
                         len(self.lab.packets("udp port 7000 and after 1700000000 and before 1700000060")))

    def test_everything_in_order(self):
        """All packets, once each, by time, within the memory that there is."""
        with lab.Rss(self.lab.process.pid) as rss:
            answer = self.lab.query("udp port 7000")
        self.assertEqual(answer.trailers["Steno-Complete"], "true", answer.trailers)
        times = [ns for ns, _, _ in answer.packets]
        self.assertEqual(times, sorted(times))
        self.assertEqual(len({frame[-8:] for _, _, frame in answer.packets}), PACKETS)
        self.assertLess(rss.most, LIMIT_MB)

    def test_a_thousand_queries_at_once(self):
        with lab.Rss(self.lab.process.pid) as rss:
            selector = selectors.DefaultSelector()
            answers = {}
            for _ in range(1000):
                connection = self.ask(b"host 10.77.0.1")
                answers[connection] = b""
                selector.register(connection, selectors.EVENT_READ)
            end = time.monotonic() + 60
            while selector.get_map() and time.monotonic() < end:
                for key, _ in selector.select(1):
                    data = key.fileobj.recv(65536)
                    answers[key.fileobj] += data
                    if not data:
                        selector.unregister(key.fileobj)
                        key.fileobj.close()
        print("%.0f MiB anonymous memory at most" % rss.most)
        statuses = {answer.split(b"\r\n")[0] for answer in answers.values()}
        self.assertEqual(statuses, {b"HTTP/1.1 200 OK"})
        self.assertLess(rss.most, LIMIT_MB)

    def test_idle_tls_connections(self):
        """A connection gives back what the sending of an answer took."""
        context = ssl.create_default_context(cafile=self.lab.certs + "/ca_cert.pem")
        context.load_cert_chain(self.lab.certs + "/client_cert.pem", self.lab.certs + "/client_key.pem")
        connections = []

        def connect():
            connection = http.client.HTTPSConnection("127.0.0.1", self.lab.port, context=context, timeout=30)
            connection.request("GET", "/metrics")
            self.assertGreater(len(connection.getresponse().read()), 5000)  # more than a connection keeps room for
            connections.append(connection)

        for _ in range(20):  # what the server keeps for all of them
            connect()
        with lab.Rss(self.lab.process.pid) as rss:
            pass
        before = rss.most
        for _ in range(IDLE):
            connect()
        time.sleep(0.5)
        with lab.Rss(self.lab.process.pid) as rss:
            pass
        each = (rss.most - before) * 1024 / IDLE
        print("%.1f KiB for each of %d idle connections" % (each, IDLE))
        self.assertLess(each, IDLE_KB)
        for connection in connections:
            connection.close()


if __name__ == "__main__":
    lab.enter()
    lab.main()
