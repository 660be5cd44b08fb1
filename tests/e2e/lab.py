"""A laboratory for the whole product: a network namespace with a veth pair (tx0 -> cap0), the built programs, certificates,
and small tools to send packets, ask queries and read the answers.

A test file calls lab.enter() first: it runs itself again inside a namespace of its own (as root, or as an ordinary user by a
user namespace) and ends with exit status 77 and a reason where the kernel refuses that. Everything it makes disappears at exit.
"""
import atexit
import http.client
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.environ.get("STENO_BIN", os.path.join(SOURCE, "build", "bin"))
SHARED_PCAPS = os.path.join(os.path.dirname(SOURCE), "shared", "pcaps")
SKIP = 77


def skip(reason):
    print("SKIP:", reason)
    sys.exit(SKIP)


def enter():
    """Runs the rest of the calling program inside a new network and mount namespace with the veth pair up."""
    if os.environ.get("STENO_LAB") != "1":
        flags = ["--net", "--mount"] if os.geteuid() == 0 else ["--user", "--map-root-user", "--net", "--mount"]
        if subprocess.run(["unshare", *flags, "true"], capture_output=True).returncode != 0:
            skip("the kernel refuses a network namespace here (unshare %s)" % " ".join(flags))
        os.execvpe("unshare", ["unshare", *flags, sys.executable, *sys.argv], {**os.environ, "STENO_LAB": "1"})
    run(["ip", "link", "set", "lo", "up"])
    for name in ("all", "default"):
        with open("/proc/sys/net/ipv6/conf/%s/disable_ipv6" % name, "w") as file:
            file.write("1")
    run(["ip", "link", "add", "cap0", "type", "veth", "peer", "name", "tx0"])
    for name in ("cap0", "tx0"):
        run(["ip", "link", "set", name, "mtu", "65535", "up"])
        subprocess.run(["ethtool", "-K", name, "tso", "off", "gso", "off", "gro", "off", "rxvlan", "off", "txvlan", "off"],
                       capture_output=True)
    wait_for(lambda: "state UP" in run(["ip", "-o", "link", "show", "cap0"]), 5, "cap0 to come up")


def run(command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise RuntimeError("%s: exit %d: %s" % (" ".join(command), done.returncode, done.stderr.strip()))
    return done.stdout


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(condition, seconds, what):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if condition():
                return
        except (OSError, http.client.HTTPException):
            pass
        time.sleep(0.02)
    raise AssertionError("waited %s s in vain for %s" % (seconds, what))


class Answer:
    """An HTTP response, whole, with its trailers."""

    def __init__(self, status, headers, body, trailers):
        self.status, self.headers, self.body, self.trailers = status, headers, body, trailers

    @property
    def text(self):
        return self.body.decode(errors="replace")

    @property
    def packets(self):
        return read_pcap(self.body)


def read_pcap(data):
    """[(ns, original length, frame)] of a classic pcap."""
    magic = struct.unpack_from("<I", data)[0]
    scale = {0xa1b2c3d4: 1000, 0xa1b23c4d: 1}[magic]
    packets, at = [], 24
    while at < len(data):
        seconds, fraction, captured, original = struct.unpack_from("<IIII", data, at)
        at += 16
        packets.append((seconds * 10**9 + fraction * scale, original, data[at:at + captured]))
        at += captured
    return packets


def write_pcap(path, packets):
    """Writes [(ns, original length, frame)] as a nanosecond pcap."""
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xa1b23c4d, 2, 4, 0, 0, 262144, 1))
        for ns, original, frame in packets:
            file.write(struct.pack("<IIII", ns // 10**9, ns % 10**9, len(frame), original) + frame)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def roomy_directory(free_bytes):
    """A new directory for a Lab whose test needs so much space; skips it where there is less."""
    if shutil.disk_usage("/var/tmp").free < free_bytes:
        raise unittest.SkipTest("less than %d GiB free in /var/tmp" % (free_bytes >> 30))
    return tempfile.mkdtemp(prefix="steno-e2e-", dir="/var/tmp")


class Lab:
    """One running installation in its own directory. Close it (or leave the `with`) to stop it and check its exit."""

    def __init__(self, threads=1, flags=(), settings=None, thread_settings=None, directory=None, start=True):
        self.root = directory or tempfile.mkdtemp(prefix="steno-e2e-", dir="/var/tmp")
        atexit.register(shutil.rmtree, self.root, True)
        self.certs = self.root + "/certs"
        self.socket = self.root + "/steno.sock"
        self.log_path = self.root + "/log"
        self.config_path = self.root + "/config"
        self.process = None
        self.threads = [{"PacketsDirectory": "%s/pkt%d" % (self.root, i), "IndexDirectory": "%s/idx%d" % (self.root, i),
                         "MaxDirectoryFiles": 30000, "DiskFreePercentage": 1, **(thread_settings or {})}
                        for i in range(threads)]
        self.port = free_port()
        self.config = {"Threads": self.threads, "StenotypePath": BIN + "/stenotype", "Interface": "cap0", "Port": self.port,
                       "Host": "127.0.0.1", "Flags": ["-v", "--blocks=128", *flags], "CertPath": self.certs,
                       "UnixSocket": self.socket, **(settings or {})}
        with open(self.config_path, "w") as file:
            json.dump(self.config, file)
        if not os.path.exists(self.certs):
            os.mkdir(self.certs)
            run([BIN + "/stenokeys", "--dir", self.certs])
        self.environment = {**os.environ, "STENOGRAPHER_CONFIG": self.config_path}
        if start:
            self.start()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None:
            print("--- log of the server:\n" + self.log()[-6000:])
            self.kill()
        else:
            self.stop()

    def start(self, wait=True):
        with open(self.log_path, "a") as log:
            self.process = subprocess.Popen([BIN + "/stenographer", "-config", self.config_path, "-syslog=false", "-v", "1"],
                                            stdout=log, stderr=subprocess.STDOUT)
        atexit.register(self.kill)
        if wait:
            self.wait_ready()

    def wait_ready(self):
        wait_for(lambda: self.get("/readyz").status == 200, 20, "/readyz to say 200:\n" + self.log()[-3000:])

    def stop(self):
        """SIGTERM; returns the seconds until the exit, whose status must be 0."""
        begin = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(15)
        if status != 0:
            raise AssertionError("stenographer exited with %s\n%s" % (status, self.log()[-3000:]))
        return time.monotonic() - begin

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pid in self.stenotypes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def log(self):
        try:
            with open(self.log_path) as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def fill(self, write_capture, *flags):
        """Records the capture that `write_capture(file)` writes, before the server is started."""
        directory = tempfile.mkdtemp(prefix="fill-", dir=self.root)
        for i, thread in enumerate(self.threads):
            for link, target in (("PKT", thread["PacketsDirectory"]), ("IDX", thread["IndexDirectory"])):
                os.makedirs(target, exist_ok=True)
                os.symlink(target, "%s/%s%d" % (directory, link, i))
        filling = subprocess.Popen([BIN + "/stenotype", "--dir=" + directory, *flags, "--read", "-"], stdin=subprocess.PIPE)
        with filling.stdin:
            write_capture(filling.stdin)
        if filling.wait(300) != 0:
            raise AssertionError("the store could not be filled")

    def stenotypes(self):
        """Process ids of the stenotypes that were started by anybody inside this namespace."""
        pids = []
        here = os.readlink("/proc/self/ns/net")
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.readlink("/proc/%s/ns/net" % pid) == here and os.readlink("/proc/%s/exe" % pid) == BIN + "/stenotype":
                    pids.append(int(pid))
            except OSError:
                pass
        return pids

    def request(self, method, path, body=None, headers=None, timeout=60):
        connection = UnixConnection(self.socket, timeout)
        connection.request(method, path, body=body, headers=headers or {})
        response = connection.getresponse()
        raw = response.fp
        trailers = {}
        if response.chunked:
            data = bytearray()
            while True:
                size = int(raw.readline().split(b";")[0], 16)
                if size == 0:
                    break
                data += raw.read(size)
                raw.readline()
            for line in iter(raw.readline, b"\r\n"):
                if not line:
                    break
                name, _, value = line.decode().partition(":")
                trailers[name.strip()] = value.strip()
            body = bytes(data)
        else:
            body = response.read()
        connection.close()
        return Answer(response.status, dict(response.getheaders()), body, trailers)

    def get(self, path):
        return self.request("GET", path, timeout=5)

    def query(self, text, headers=None, timeout=120):
        return self.request("POST", "/query", body=text.encode(), headers=headers, timeout=timeout)

    def packets(self, text):
        answer = self.query(text)
        if answer.status != 200 or answer.trailers.get("Steno-Complete") != "true":
            raise AssertionError("%s: %d %s %s" % (text, answer.status, answer.text[:300] if answer.status != 200 else "",
                                                   answer.trailers))
        return answer.packets

    def stats(self):
        return {name: int(value) for name, value in (line.split() for line in self.get("/debug/stats").text.splitlines())}

    def counter(self, name):
        """A capture counter, summed over the threads."""
        return sum(value for key, value in self.stats().items() if key.startswith("stenotype_thread") and key.endswith("_" + name))

    def wait_stored(self, count, seconds=30):
        """Waits until `count` packets are stored or accounted for as lost."""
        wait_for(lambda: self.counter("stored_packets") + self.lost() >= count, seconds,
                 "%d stored packets: %s" % (count, self.stats()))

    def lost(self):
        return self.counter("ring_drops") + self.counter("write_error_drops")


def revoke(certs, certificate, revocation_list):
    """Makes a revocation list with one certificate, or none, of those that stenokeys has made in `certs`."""
    with open(certs + "/ca.cnf", "w") as file:
        file.write("[ca]\ndefault_ca=a\n[a]\ndatabase=%s/index\ndefault_md=sha256\ndefault_crl_days=1\n" % certs)
    open(certs + "/index", "w").close()
    ca = ["openssl", "ca", "-config", certs + "/ca.cnf", "-cert", certs + "/ca_cert.pem", "-keyfile", certs + "/ca_key.pem"]
    if certificate:
        run(ca + ["-revoke", "%s/%s" % (certs, certificate)])
    run(ca + ["-gencrl", "-out", "%s/%s" % (certs, revocation_list)])


class Rss(threading.Thread):
    """The most private memory (MiB) that a process had during a `with`."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.path, self.most, self.ended = "/proc/%d/status" % pid, 0, threading.Event()

    def sample(self):
        with open(self.path) as file:
            self.most = max(self.most, int(re.search(r"RssAnon:\s+(\d+)", file.read())[1]) / 1024)

    def run(self):
        while not self.ended.wait(0.02):
            self.sample()

    def __enter__(self):
        self.sample()
        self.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.join()
        self.sample()


def replay(files, *options, interface="tx0"):
    """Sends the packets of pcap files; returns the sender's report."""
    return json.loads(run([BIN + "/replay", interface, *files, *options]))


def ethernet_pcaps():
    """Every shared capture (none where there is no shared directory)."""
    found = []
    for directory, _, names in sorted(os.walk(SHARED_PCAPS)):
        found += [os.path.join(directory, name) for name in sorted(names)]
    return found


def udp4(source, destination, sport, dport, payload=b"x" * 20, vlan=(), protocol=17):
    """An Ethernet frame with IPv4 and UDP (or another protocol with ports first)."""
    tags = b"".join(struct.pack(">HH", 0x8100, tag) for tag in vlan)
    l4 = struct.pack(">HHHH", sport, dport, 8 + len(payload), 0) + payload
    if protocol == 6:
        l4 = struct.pack(">HHIIBBHHH", sport, dport, 1, 1, 0x50, 0x10, 1000, 0, 0) + payload
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(l4), 1, 0, 64, protocol, 0, socket.inet_aton(source),
                     socket.inet_aton(destination))
    return bytes.fromhex("020000000002020000000001") + tags + struct.pack(">H", 0x0800) + ip + l4


def udp6(source, destination, sport, dport, payload=b"y" * 20):
    udp = struct.pack(">HHHH", sport, dport, 8 + len(payload), 0) + payload
    ip = struct.pack(">IHBB", 0x60000000, len(udp), 17, 64) + socket.inet_pton(socket.AF_INET6, source) + \
        socket.inet_pton(socket.AF_INET6, destination)
    return bytes.fromhex("020000000002020000000001") + struct.pack(">H", 0x86dd) + ip + udp


def send(frames, interface="tx0"):
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as out:
        out.bind((interface, 0))
        for frame in frames:
            out.send(frame)


def main():
    """unittest, with exit status 77 if every test was skipped."""
    program = unittest.main(verbosity=2, exit=False)
    result = program.result
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(SKIP if result.testsRun > 0 and len(result.skipped) == result.testsRun else 0)
