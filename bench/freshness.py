"""How long after it was on the wire a packet is found by a query: a marked packet is sent, and the server asked for it again and
again. The whole product runs: server and packet writer, both on the recorder's CPU, each asked by its own interface."""
import os
import tempfile
import threading
import time

import capture_lab as bench
from capture_lab import lab
from incumbent_server import IncumbentServer

BUSY_PPS = 100_000
QUIET_PPS = 10
LIMIT = 130  # seconds: the incumbent's documents say up to 120
PAUSE = 0.01
THIS_MARKERS = 5
EMPTY_PCAP_BYTES = 24


class Background:
    """The traffic of the link while the markers are sent."""

    def __init__(self, link):
        self.stop_event = threading.Event()
        if link == "busy":
            self.traffic = bench.Traffic("imix", "--pps", BUSY_PPS, "--seconds", 600)
        else:
            frames = [lab.udp4("10.1.0.1", "10.2.0.1", 30000 + i, 53, b"q" * 58) for i in range(20)]
            self.thread = threading.Thread(target=bench.send_slowly, args=(frames, QUIET_PPS, self.stop_event))
            self.thread.start()

    def __enter__(self):
        time.sleep(3)
        return self

    def __exit__(self, *_):
        self.stop_event.set()
        if hasattr(self, "traffic"):
            self.traffic.kill()


class ThisServer:
    """This server, asked through its Unix socket."""
    markers = THIS_MARKERS

    def __init__(self, directory):
        self.lab = lab.Lab(directory=tempfile.mkdtemp(prefix="server-", dir=directory))

    def finds(self, query):
        return len(self.lab.query(query).body) > EMPTY_PCAP_BYTES

    def close(self):
        self.lab.stop()


class IncumbentRecorder(IncumbentServer):
    """The incumbent's server with its packet writer."""
    markers = 1
    blocks = 128

    def __init__(self, directory):
        root = tempfile.mkdtemp(prefix="incumbent-", dir=directory)
        for name in ("pkt", "idx"):
            os.mkdir(root + "/" + name)
        super().__init__(root, root + "/pkt", root + "/idx", 1234, bench.INCUMBENT,
                         [*bench.INCUMBENT_FLAGS, "--blocks=%d" % self.blocks, "-v", "--stats_sec=1"], 5)
        lab.wait_for(lambda: bench.open_packet_sockets() > 0, 60, "the incumbent to open its packet socket")
        time.sleep(1)
        self.check_alive()

    def finds(self, query):
        status, body = self.request("POST", "/query", query)
        if status != 200:
            raise bench.Unmeasurable("the incumbent answers %d: %s" % (status, body[:200]))
        return len(body) > EMPTY_PCAP_BYTES

    def close(self):
        self.kill()
        lab.wait_for(lambda: bench.open_packet_sockets() == 0, 30, "the incumbent to end")


def wait_for_packet(server, number):
    """Seconds from sending the marker to the first answer that has it."""
    port = 50_000 + number
    frame = lab.udp4("10.99.0.1", "10.99.0.2", port, 9, b"marker" * 8)
    begin = time.monotonic()
    lab.send([frame])
    while time.monotonic() - begin < LIMIT:
        if server.finds("host 10.99.0.1 and port %d" % port):
            return round(time.monotonic() - begin, 3)
        time.sleep(PAUSE)
    return LIMIT


def measure(product, directory, link):
    """The waiting times of some markers, one after another, at moments that have nothing to do with the recorder's."""
    bench.require_space(directory, BUSY_PPS * 600 * LIMIT if link == "busy" else 1e9)
    server = (ThisServer if product.name == "this" else IncumbentRecorder)(directory)
    try:
        with Background(link):
            waits = []
            for number in range(server.markers):
                waits.append(wait_for_packet(server, number))
                time.sleep(0.37)
            return waits
    finally:
        server.close()
