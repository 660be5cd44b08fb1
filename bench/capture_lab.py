"""What the capture benchmark works with: a namespace with a veth pair whose ends take XDP frames, the traffic source on CPU 0,
recorders on CPU 1, and the counting of what is on disk after a run, done here and not taken from the recorder.

Everything is made in a directory of its own under /var/tmp, which disappears at exit, also after Ctrl-C.
"""
import atexit
import glob
import json
import mmap
import os
import re
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(SOURCE, "tests", "e2e"))
import lab  # noqa: E402

SOURCE_CPU, RECORDER_CPU = 0, 1
KEEP_FREE_BYTES = 20 << 30
RING_FLAGS = ["--threads=1", "--blocks=1024", "--blockage_sec=1"]  # 1 GiB; the end of the load in it goes to disk soon
INCUMBENT = "/usr/sbin/stenotype"
INCUMBENT_SERVER = "/usr/sbin/stenographer"
INCUMBENT_FLAGS = ["--seccomp=none", "--uid=root", "--gid=root"]  # else it becomes nobody, who may not write here
INCUMBENT_CERTS = "/etc/stenographer/certs"
NUDGE_TYPE = 0x88b5  # EtherType for local experiments (IEEE 802): packets that only wake a recorder, and do not count
NUDGE = bytes.fromhex("020000000002020000000001") + struct.pack(">H", NUDGE_TYPE) + b"nudge" * 10
TICKS = os.sysconf("SC_CLK_TCK")


class Unmeasurable(Exception):
    """Why a figure cannot be measured on this machine."""


def enter():
    """lab.enter() with a pair that XDP frames can go through."""
    lab.enter()
    for name in ("cap0", "tx0"):
        lab.run(["ethtool", "-K", name, "gro", "on"])
    os.sched_setaffinity(0, {RECORDER_CPU})  # with all that is started from here; the source moves away by itself
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # whoever started this may ignore them
        signal.signal(number, lambda caught, _: sys.exit(128 + caught))


def make_directory():
    directory = tempfile.mkdtemp(prefix="steno-bench-", dir="/var/tmp")
    atexit.register(shutil.rmtree, directory, True)
    return directory


def free_bytes(directory):
    state = os.statvfs(directory)
    return state.f_bavail * state.f_frsize


def require_space(directory, more):
    if free_bytes(directory) < KEEP_FREE_BYTES + more:
        raise Unmeasurable("needs %d GB of free disk space and 20 GB to leave; there are %d GB"
                           % (more / 1e9, free_bytes(directory) / 1e9))


def disk_write_rate(directory, total=2 << 30, piece=1 << 20, writers=4):
    """Bytes per second of O_DIRECT writes to preallocated files, some at a time."""
    buffer = mmap.mmap(-1, piece)
    buffer.write(os.urandom(piece))

    def write(path):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_DIRECT)
        try:
            os.posix_fallocate(fd, 0, total // writers)
            ready.wait()
            for offset in range(0, total // writers, piece):
                os.pwrite(fd, buffer, offset)
        finally:
            os.close(fd)
            os.unlink(path)

    ready = threading.Barrier(writers + 1)
    threads = [threading.Thread(target=write, args=("%s/rate%d" % (directory, i),)) for i in range(writers)]
    for thread in threads:
        thread.start()
    ready.wait()
    begin = time.monotonic()
    for thread in threads:
        thread.join()
    return total / (time.monotonic() - begin)


# --- the source


class Traffic:
    """The source, running. `result()` waits for its end and gives its report."""

    def __init__(self, kind, *options):
        self.command = [lab.BIN + "/traffic", "tx0", kind, "--cpu", str(SOURCE_CPU), *map(str, options)]
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        atexit.register(self.kill)

    def result(self, directory=None):
        """With a directory: ends the source early when the disk gets short."""
        while True:
            try:
                out, error = self.process.communicate(timeout=0.5)
                break
            except subprocess.TimeoutExpired:
                if directory and free_bytes(directory) < KEEP_FREE_BYTES:
                    self.kill()
                    raise Unmeasurable("the disk would have less than 20 GB free") from None
        if self.process.returncode != 0:
            raise Unmeasurable("%s: %s" % (" ".join(self.command[:6]), error.strip()))
        return json.loads(out)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def send_slowly(frames, per_second, stop):
    """Sends the frames in turn until the event `stop`."""
    due, number = time.monotonic(), 0
    while not stop.wait(max(0, due - time.monotonic())):
        lab.send([frames[number % len(frames)]])
        number += 1
        due += 1 / per_second


# --- recorders


class Product:
    """A packet writer to measure: this one or the incumbent."""

    def __init__(self, name, program, flags):
        self.name, self.program, self.flags = name, program, flags


def this_product():
    return Product("this", lab.BIN + "/stenotype", [])


def incumbent_product():
    """The Debian package `stenographer`, or None."""
    return Product("incumbent", INCUMBENT, INCUMBENT_FLAGS) if os.access(INCUMBENT, os.X_OK) else None


def open_packet_sockets():
    """How many packet sockets of this namespace receive from cap0."""
    index = int(lab.run(["ip", "-o", "link", "show", "cap0"]).split(":")[0])
    with open("/proc/self/net/packet") as table:
        rows = [line.split() for line in table][1:]
    return sum(1 for row in rows if int(row[4]) == index and row[5] == "1")


class Recorder:
    """One running packet writer and its directory, both gone after close()."""

    def __init__(self, product, parent, *flags):
        self.directory = tempfile.mkdtemp(prefix=product.name + "-", dir=parent)
        self.product = product
        for name in ("PKT0", "IDX0"):
            os.mkdir("%s/%s" % (self.directory, name))
        self.log_path = self.directory + "/log"
        sockets = open_packet_sockets()
        with open(self.log_path, "w") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", product.program, "--dir=" + self.directory, "--iface=cap0", "-v",
                 "--stats_sec=1", *product.flags, *flags], stdout=log, stderr=log)
        atexit.register(self.kill)
        self.wait_ready(sockets)

    def wait_ready(self, sockets):
        def ready():
            self.check_alive()
            return open_packet_sockets() > sockets
        lab.wait_for(ready, 60, "%s to open its packet socket" % self.product.name)
        time.sleep(1)  # files, threads, filters
        self.check_alive()

    def check_alive(self):
        if self.process.poll() is not None:
            raise Unmeasurable("%s ended by itself: %s" % (self.product.program, self.log()[-500:].strip()))

    def log(self):
        with open(self.log_path, errors="replace") as file:
            return file.read()

    def cpu_seconds(self):
        """User and system time of all threads, also of those that have ended (proc(5): utime, stime)."""
        with open("/proc/%d/stat" % self.process.pid) as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def wait_idle(self, limit=60):
        """Waits until what the ring holds has been worked off: half a second with next to no CPU time, twice."""
        end = time.monotonic() + limit
        calm = 0
        while calm < 2 and time.monotonic() < end:
            before = self.cpu_seconds()
            time.sleep(0.5)
            calm = calm + 1 if self.cpu_seconds() - before <= 0.03 else 0
        return calm == 2

    def counted_drops(self):
        found = re.findall(r"Thread 0 stats:.* drops=(\d+)", self.log())
        return int(found[-1]) if found else None

    def finish(self, limit=60):
        """Ends it in order; returns its user and system time until its files and indexes were complete. That is without
        giving back the ring's memory; and the incumbent, which can stay on for minutes with nothing to do, is killed then."""
        self.check_alive()
        self.process.send_signal(signal.SIGINT)
        end, step, cpu, now, calm_since = time.monotonic() + limit, 0, 0, 0, time.monotonic()
        while self.process.poll() is None and time.monotonic() < min(end, calm_since + 1):
            now = self.cpu_seconds()
            if now - cpu > 0.015:
                cpu, calm_since = now, time.monotonic()
            if step % 20 == 0:  # the incumbent looks at its signals only when packets come
                lab.send([NUDGE])
            step += 1
            time.sleep(0.01)
        self.kill()
        return max(cpu, now)

    def kill(self):
        if self.process.returncode is None:
            self.process.kill()
            self.process.wait()

    def close(self):
        self.kill()
        shutil.rmtree(self.directory, True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def stored(self, complete_only=False):
        return Stored(self.directory, complete_only)


class Stored:
    """What a recorder's directory holds: packets by the headers of the blocks, bytes as the disk counts them."""

    BLOCK = 1 << 20         # the incumbent's blocks lie at multiples of this
    OUR_MAGIC = b"STENBLK1"  # docs/FORMAT.md
    FEW = 200               # blocks of fewer packets are looked at packet by packet

    def __init__(self, directory, complete_only):
        self.packets = self.blocks = self.index_bytes = self.disk_bytes = self.frame_bytes = self.files = 0
        for path in glob.glob(directory + "/PKT0/*") + ([] if complete_only else glob.glob(directory + "/PKT0/.*")):
            self.files += 1
            self.disk_bytes += os.stat(path).st_blocks * 512
            self.count_file(path)
        for path in glob.glob(directory + "/IDX0/*"):
            self.index_bytes += os.stat(path).st_size
            self.disk_bytes += os.stat(path).st_blocks * 512

    def count_file(self, path):
        fd = os.open(path, os.O_RDONLY)
        try:
            offset = 0
            while len(header := os.pread(fd, 128, offset)) == 128:
                version, _, _, packets, first, used = struct.unpack_from("<6I", header)
                if version != 2:
                    break
                ours = header[48:56] == self.OUR_MAGIC
                if packets <= self.FEW:
                    packets = self.count_packets(os.pread(fd, used, offset), packets, first)
                self.packets += packets
                self.blocks += 1
                offset += struct.unpack_from("<I", header, 120)[0] if ours else self.BLOCK
        finally:
            os.close(fd)

    def count_packets(self, block, packets, at):
        """The packets of a block that are not nudges (struct tpacket3_hdr)."""
        counted = 0
        for _ in range(packets):
            step, _, _, captured = struct.unpack_from("<4I", block, at)
            frame = at + struct.unpack_from("<H", block, at + 24)[0]
            if struct.unpack_from(">H", block, frame + 12)[0] != NUDGE_TYPE:
                counted += 1
                self.frame_bytes += captured
            at += step
        return counted


def measure_load(product, directory, flags, kind, *options):
    """One recording of one load: what was sent, stored, lost and counted as lost, and the CPU time that it took."""
    with Recorder(product, directory, *RING_FLAGS, *flags) as recorder:
        begin_cpu, begin = recorder.cpu_seconds(), time.monotonic()
        report = Traffic(kind, *options).result(directory)
        load_cpu, load_seconds = recorder.cpu_seconds() - begin_cpu, time.monotonic() - begin
        time.sleep(1.5)  # the last block can be a second old when the kernel gives it away
        drained = recorder.wait_idle()
        cpu, seconds = recorder.cpu_seconds() - begin_cpu, time.monotonic() - begin
        total_cpu = recorder.finish() - begin_cpu
        stored = recorder.stored()
        run = {"product": product.name, "traffic": kind, "sent": report["sent"], "pps": report["pps"], "seconds": report["seconds"],
               "link_drops": report["link_drops"], "bytes": report["made_bytes"],
               "stored": stored.packets, "lost": report["sent"] - stored.packets, "counted_drops": recorder.counted_drops(),
               "drained": drained, "drained_after": round(seconds - load_seconds, 2),
               "cpu_seconds_of_load": round(load_cpu, 3), "cpu_seconds": round(cpu, 3), "cpu_seconds_to_end": round(total_cpu, 3),
               "disk_bytes": stored.disk_bytes, "index_bytes": stored.index_bytes}
        print("  %-9s sent %d at %d/s, stored %d, lost %d (it counts %s), CPU %.2f s, at the end %.2f s"
              % (product.name, run["sent"], run["pps"], run["stored"], run["lost"], run["counted_drops"], cpu, total_cpu),
              file=sys.stderr, flush=True)
        return run


def median(values):
    return statistics.median(values)
