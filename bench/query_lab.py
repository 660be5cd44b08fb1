"""Stores to query, servers over them, and curl as the client: this product's and the incumbent's alike. The servers run on the
recorder's CPU, curl on the source's."""
import os
import stat
import subprocess
import time

import capture_lab as bench
from capture_lab import Unmeasurable, lab
from incumbent_server import CLIENT, IncumbentServer

LIMIT = 120  # seconds that an answer is waited for
BYTES_PER_PACKET = 450  # of a store, for the room that it needs: packet, headers, the incumbent's index


def drop_caches():
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as file:
        file.write("3")


def record_store(product, directory, pps, packets, traffic):
    """Records the traffic until all of it is in complete files; returns the store's directory."""
    bench.require_space(directory, packets * BYTES_PER_PACKET)
    recorder = bench.Recorder(product, directory, *bench.RING_FLAGS, "--fileage_sec=20")
    report = bench.Traffic(*traffic, "--count", packets, "--pps", pps, "--seconds", 3600).result(directory)
    end = time.monotonic() + 30  # the incumbent gives files their names when packets come
    while time.monotonic() < end and not recorder.wait_idle(2):
        lab.send([bench.NUDGE])
    if product.name == "incumbent":
        end = time.monotonic() + 30
        while time.monotonic() < end:
            lab.send([bench.NUDGE])
            time.sleep(0.3)
    recorder.finish()
    stored = recorder.stored(complete_only=True)
    print("  %-9s store of %d files, %d packets of %d sent (it counts %s lost), %.1f GB, index %.2f bytes/packet" % (
        product.name, stored.files, stored.packets, report["sent"], recorder.counted_drops(), stored.disk_bytes / 1e9,
        stored.index_bytes / max(1, stored.packets)), file=bench.sys.stderr, flush=True)
    for name in ("PKT0", "IDX0"):
        os.rename("%s/%s" % (recorder.directory, name), "%s/%s" % (recorder.directory, name.lower()))
    return recorder.directory


class ThisServer:
    """This server over a store, which a stenotype on a silent link adds nothing to."""
    name = "this"

    def __init__(self, store, **settings):
        self.store = store
        self.lab = lab.Lab(directory=store, settings=settings)

    def curl(self, tls=False):
        if not tls:
            return ["--unix-socket", self.lab.socket, "http://localhost/query"]
        certs = self.lab.certs
        return ["--cacert", certs + "/ca_cert.pem", "--cert", certs + "/client_cert.pem", "--key", certs + "/client_key.pem",
                "https://127.0.0.1:%d/query" % self.lab.port]

    def close(self):
        self.lab.stop()


class IncumbentStore(IncumbentServer):
    """The incumbent's server over a store, with something in the place of its packet writer that writes nothing."""
    name = "incumbent"

    def __init__(self, store):
        self.store = store
        writer = store + "/writer"
        with open(writer, "w") as file:
            file.write("#!/bin/sh\nexec sleep 100000\n")
        os.chmod(writer, stat.S_IRWXU | stat.S_IXGRP | stat.S_IXOTH | stat.S_IRGRP | stat.S_IROTH)
        super().__init__(store, store + "/pkt0", store + "/idx0", 1235, writer, [], 1)
        lab.wait_for(lambda: self.request("GET", "/debug/stats", timeout=5)[0] == 200, 60, "the incumbent's server to answer")
        time.sleep(20)  # it looks for new files every so often

    def curl(self, tls=True):
        return ["-k", "--cert", CLIENT[0], "--key", CLIENT[1], "https://127.0.0.1:%d/query" % self.port]

    def close(self):
        self.kill()


def ask(server, query, limit=LIMIT, cpu=bench.SOURCE_CPU, **options):
    """One answer, thrown away: its seconds and bytes. `complete` is False where it was not there within the limit."""
    done = subprocess.run(["taskset", "-c", str(cpu), "nice", "curl", "-s", "-S", "-o", "/dev/null", "--max-time", str(limit), "-d", query,
                           "-w", "%{http_code} %{time_total} %{size_download}", *server.curl(**options)],
                          capture_output=True, text=True)
    code, seconds, size = done.stdout.split()
    # 18: cut off, 28: the limit (curl(1))
    if done.returncode not in (0, 18, 28) or (done.returncode == 0 and code != "200"):
        raise Unmeasurable("%s: curl ends with %d, HTTP %s: %s" % (query, done.returncode, code, done.stderr.strip()))
    return {"product": server.name, "query": query, "seconds": float(seconds), "bytes": int(size),
            "complete": done.returncode == 0}


def fill_page_cache(paths, piece=4 << 20):
    for path in paths:
        with open(path, "rb", buffering=0) as file:
            while file.read(piece):
                pass


def sequential_read_rate(paths, piece=4 << 20):
    """Bytes per second of reading the files from the disk, one after another, past the page cache."""
    buffer = bench.mmap.mmap(-1, piece)
    total, begin = 0, time.monotonic()
    for path in paths:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
        try:
            while got := os.readv(fd, [buffer]):
                total += got
        finally:
            os.close(fd)
    return total / (time.monotonic() - begin)
