"""The server under load: many clients with small queries, idle connections and clients that send byte by byte, while the capture
runs at a high rate. Both products are asked by HTTP/1.1 over TLS with client certificates."""
import http.client
import random
import selectors
import socket
import ssl
import sys
import tempfile
import threading
import time

import capture_lab as bench
from capture_lab import lab, median
from figure import Figure, for_both, of
from freshness import IncumbentRecorder
from incumbent_server import CLIENT

PPS = 1_000_000
REQUESTS_PER_SECOND, CLIENTS = 1000, 32
IDLE, SLOW = 200, 50
SECONDS = 60
TIMEOUT = 10  # seconds until a request counts as failed


class This:
    name = "this"

    def __init__(self, directory):
        flags = [flag for flag in bench.RING_FLAGS if not flag.startswith("--threads")]
        self.lab = lab.Lab(directory=tempfile.mkdtemp(prefix="load-", dir=directory), flags=[*flags, "--filesize_mb=1024"],
                           thread_settings={"MaxDirectoryFiles": 8})
        self.port = self.lab.port
        self.certificate = [self.lab.certs + "/client_cert.pem", self.lab.certs + "/client_key.pem"]

    def lost(self, sent):
        self.lab.wait_stored(sent, 60)
        return sent - self.lab.counter("stored_packets")

    def close(self):
        self.lab.stop()


class Incumbent(IncumbentRecorder):
    name, certificate = "incumbent", CLIENT
    blocks = 1024

    def lost(self, sent):
        """By the counters of its log, the last of which comes within a second."""
        time.sleep(3)
        with open(self.log_path, errors="replace") as log:
            found = bench.re.findall(r"Thread 0 stats:.* packets=(\d+) .* drops=(\d+)", log.read())
        return max(int(found[-1][1]), sent - int(found[-1][0])) if found else sent


def tls_context(server):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(*server.certificate)
    return context


class Bystanders(threading.Thread):
    """Idle connections, and clients that send their requests' headers a byte a second; those that are closed come again."""

    def __init__(self, server, stop):
        super().__init__(daemon=True)
        self.server, self.stop_event, self.context = server, stop, tls_context(server)
        self.opened = 0

    def open(self):
        plain = socket.create_connection(("127.0.0.1", self.server.port), timeout=TIMEOUT)
        connection = self.context.wrap_socket(plain)
        connection.settimeout(0.001)
        self.opened += 1
        return connection

    def run(self):
        idle = [self.open() for _ in range(IDLE)]
        slow = [self.open() for _ in range(SLOW)]
        header = b"POST /query HTTP/1.1\r\nHost: x\r\nX-Slow: " + b"x" * 4000
        at = 0
        while not self.stop_event.wait(1):
            for number, connection in enumerate(slow):
                try:
                    connection.send(header[at:at + 1])
                except OSError:
                    try:
                        slow[number] = self.open()
                    except OSError:
                        pass
            at = (at + 1) % len(header)
        for connection in idle + slow:
            connection.close()


class Client(threading.Thread):
    """Requests at fixed times, whatever became of the one before: a late answer makes the following ones late as well."""

    def __init__(self, server, seed, begin, seconds):
        super().__init__(daemon=True)
        self.server, self.chance, self.begin, self.seconds = server, random.Random(seed), begin + seed / REQUESTS_PER_SECOND, seconds
        self.times, self.failures, self.context = [], 0, tls_context(server)
        self.count = int(seconds * REQUESTS_PER_SECOND / CLIENTS)

    def run(self):
        connection = None
        step = CLIENTS / REQUESTS_PER_SECOND
        for number in range(self.count):
            due = self.begin + number * step
            time.sleep(max(0, due - time.monotonic()))
            try:
                connection = connection or http.client.HTTPSConnection("127.0.0.1", self.server.port, timeout=TIMEOUT, context=self.context)
                query = "host 172.31.%d.%d and port %d" % tuple(self.chance.randrange(1, 255) for _ in range(3))
                connection.request("POST", "/query", query)
                answer = connection.getresponse()
                answer.read()
                self.failures += answer.status != 200
            except (OSError, http.client.HTTPException):
                self.failures += 1
                connection = None
            self.times.append(time.monotonic() - due)


def quantile(values, share):
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def load(server, seconds):
    stop = threading.Event()
    bystanders = Bystanders(server, stop)
    source = bench.Traffic("imix", "--pps", PPS, "--seconds", seconds + 5)
    bystanders.start()
    time.sleep(4)
    clients = [Client(server, seed, time.monotonic() + 0.5, seconds) for seed in range(CLIENTS)]
    for client in clients:
        client.start()
    report = source.result(server.lab.root if hasattr(server, "lab") else ".")
    for client in clients:
        client.join(2 * TIMEOUT + seconds)
    stop.set()
    times = [value for client in clients for value in client.times]
    run = {"product": server.name, "traffic": "imix", "pps": report["pps"], "sent": report["sent"], "lost": server.lost(report["sent"]),
           "requests": len(times), "failures": sum(client.failures + client.count - len(client.times) for client in clients),
           "seconds": max(seconds, max(times)), "p50": quantile(times, 0.5), "p99": quantile(times, 0.99), "worst": max(times)}
    print("  %-9s %s" % (server.name, run), file=sys.stderr, flush=True)
    return run


class ManyClients(Figure):
    what, unit = "1,000 small queries a second of 32 clients, 200 idle, 50 slow, 1 Mpps", "p99, ms"
    reach = "0 lost, 0 failed"

    def measure(self, session):
        bench.require_space(session.directory, 30e9)
        seconds = SECONDS if session.seconds >= 10 else session.seconds
        runs = []
        for product in session.products():
            server = (This if product.name == "this" else Incumbent)(session.directory)
            try:
                runs.append(load(server, seconds))
            finally:
                server.close()
        return runs

    def value(self, run):
        return 1000 * run["p99"]

    def met(self, runs, row):
        return all(lost == 0 for lost in of(runs, "this", lambda run: run["lost"] + run["failures"]))

    def note(self, runs):
        return for_both(runs, lambda name: "%d requests, %d failed, median %.1f ms, worst %.0f ms, %d of %d packets lost" % tuple(
            median(of(runs, name, lambda run: run[key])) * scale for key, scale in
            (("requests", 1), ("failures", 1), ("p50", 1000), ("worst", 1000), ("lost", 1), ("sent", 1))))


FIGURES = {"S1": ManyClients()}
