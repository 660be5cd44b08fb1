"""What programs that were made for google/stenographer rely on, with such programs where they are installed: the clients of its Debian
package, curl, Python's ssl and requests, mergecap, and pipelines as Security Onion and docket have them.

Beside these: tests of limits (T7) are in record_test and src/query/query_limits_test, of packet files' names and times (T8) in
record_test and retention_test, of filters in hexadecimal (T12) in src/capture, of omitted and unknown keys (T13) in
src/server/config_test, of gRPC (T16) in rpc_test and rpc_incumbent_test, of the statistics line (T4) in src/capture too; T4, T7, T8,
T11 and T12 are looked at here once more from a client's side.
"""
import datetime
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import unittest

import lab

TCPDUMP = shutil.which("tcpdump", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
INCUMBENT = {name: path for name, path in (("stenoread", "/usr/bin/stenoread"), ("stenocurl", "/usr/bin/stenocurl"),
                                           ("stenokeys", "/usr/sbin/stenokeys"), ("stenographer", "/usr/sbin/stenographer"),
                                           ("stenotype", "/usr/sbin/stenotype")) if os.access(path, os.X_OK)}
A, B = "10.6.0.1", "10.6.0.2"
FRAMES = [lab.udp4(A, B, 31000, 53) for _ in range(20)] + [lab.udp4(B, A, 53, 31000) for _ in range(15)] + \
    [lab.udp4(A, "10.6.0.3", 31000, 443, protocol=6) for _ in range(10)]
PAIR = 35


def incumbent(name):
    return unittest.skipUnless(name in INCUMBENT, "the incumbent's %s (a Debian package) is not installed" % name)


def times(before_s=120, after_s=120):
    """"before X and after Y" around now, as RFC 3339."""
    now = datetime.datetime.now(datetime.timezone.utc)
    form = "%Y-%m-%dT%H:%M:%SZ"
    return "before %s and after %s" % ((now + datetime.timedelta(seconds=after_s)).strftime(form),
                                       (now - datetime.timedelta(seconds=before_s)).strftime(form))


# A pipeline like Security Onion's: curl with three PEM files, its output into tcpdump, whose status is the script's.
PIPELINE = """#!/bin/bash
query=$1; shift
exec 3< <(curl --silent --show-error --max-time 890 --cert "$STENO_CERTS/client_cert.pem" --key "$STENO_CERTS/client_key.pem" \\
  --cacert "$STENO_CERTS/ca_cert.pem" --header "Steno-Limit-Bytes:2147483648" -d "$query" "$STENO_URL")
tcpdump -r /dev/fd/3 -s 0 "$@"
"""


class Contract(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = lab.Lab(flags=["--stats_sec=1"])
        lab.send(FRAMES)
        cls.lab.wait_stored(len(FRAMES))
        cls.url = "https://127.0.0.1:%d" % cls.lab.port
        cls.pem = {name: cls.lab.certs + "/%s.pem" % name for name in ("client_cert", "client_key", "ca_cert")}
        cls.environment = {**cls.lab.environment, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin", "STENO_CERTS": cls.lab.certs,
                           "STENO_URL": cls.url + "/query"}

    @classmethod
    def tearDownClass(cls):
        cls.lab.stop()

    def run_program(self, *command):
        return subprocess.run(command, capture_output=True, text=True, env=self.environment, timeout=120)

    def count(self, path):
        with open(path, "rb") as file:
            return len(lab.read_pcap(file.read()))

    def file(self, name):
        return self.lab.root + "/" + name

    # Security Onion

    def test_queries_of_security_onion(self):
        """T1, T15"""
        pair = "host %s and host %s and port 31000 and port 53" % (A, B)
        for query, expected in ((times(), 45), (times() + " and udp and " + pair, PAIR), (times() + " and " + pair, PAIR),
                                (times() + " and tcp and host %s and host 10.6.0.3 and port 31000 and port 443" % A, 10),
                                (times() + " and icmp and host %s and host %s" % (A, B), 0),
                                (times(3600, 3600) + " and udp and " + pair, PAIR),
                                ("before 2006-01-02T15:06:05Z and after 2006-01-02T15:05:05Z and udp", 0),
                                ("before 2099-01-02T15:06:05+02:00 and after 2006-01-02T15:05:05-07:00 and " + pair, PAIR)):
            self.assertEqual(len([p for p in self.lab.packets(query) if socket.inet_aton(A) in p[2]]), expected, query)
        self.assertEqual(self.lab.packets(times() + " and " + pair), self.lab.packets(times(9999, 9999) + " and " + pair))

    @unittest.skipUnless(TCPDUMP, "tcpdump is not installed")
    def test_the_pipeline_of_security_onion(self):
        """T2, T3, T6, T9"""
        script, out = self.file("stenoquery.sh"), self.file("so.pcap")
        with open(script, "w") as file:
            file.write(PIPELINE)
        os.chmod(script, 0o755)
        done = self.run_program(script, times() + " and udp and host %s" % B, "-w", out)
        self.assertEqual((done.returncode, self.count(out)), (0, PAIR), done.stderr)
        done = self.run_program(script, "host 192.0.2.77", "-w", out)
        self.assertEqual((done.returncode, os.path.getsize(out)), (0, 24), done.stderr)
        done = self.run_program(script, "no such query", "-w", out)
        self.assertNotEqual(done.returncode, 0, "an error of HTTP is no packet file")

    def test_the_loss_gauge_of_security_onion(self):
        """T4: two lines, 14 words each, of which number 9 (from 0) is packets= and 12 drops="""
        def lines():
            return [line for line in self.lab.log().splitlines() if "Thread 0 stats" in line]
        lab.wait_for(lambda: len(lines()) >= 2, 30, "two lines of statistics")
        counted = []
        for line in lines()[-2:]:
            words = line.split()
            self.assertEqual(len(words), 14, line)
            counted.append([int(re.fullmatch(name + r"=(\d+)", words[at])[1]) for name, at in (("packets", 9), ("drops", 12))])
        self.assertGreaterEqual(counted[1], counted[0], "totals")

    def test_the_retention_gauge_of_security_onion(self):
        """T8: the first name of those without a dot tells the oldest, and nothing else lies there"""
        directory = self.lab.threads[0]["PacketsDirectory"]
        for name in os.listdir(directory):
            self.assertRegex(name, r"^\.?\d{16}$")

    @unittest.skipUnless(TCPDUMP, "tcpdump is not installed")
    def test_a_filter_of_security_onion(self):
        """T11, T12: two threads that share their directories, and a filter made of `tcpdump -ddd`"""
        code = lab.run([TCPDUMP, "-i", "cap0", "-ddd", "not port 443"]).splitlines()[1:]
        words = "".join("%04x%02x%02x%08x" % tuple(map(int, line.split())) for line in code)
        with lab.Lab(start=False, flags=["--filter=" + words]) as one:
            one.config["Threads"] = one.config["Threads"] * 2
            with open(one.config_path, "w") as file:
                json.dump(one.config, file)
            one.start()
            # Other addresses: the other server records them as well.
            lab.send([lab.udp4("10.8.0.1", "10.8.0.2", 31000 + i, port, protocol=6) for i in range(20) for port in (443, 80)])
            one.wait_stored(20)
            self.assertEqual(len(one.packets("host 10.8.0.1")), 20)
            self.assertEqual(len(one.packets("host 10.8.0.1 and port 443")), 0)

    # docket

    def test_statistics_for_docket(self):
        """T5"""
        stats = {}
        for line in lab.run(["curl", "-sS", "--cert", self.pem["client_cert"], "--key", self.pem["client_key"], "--cacert",
                             self.pem["ca_cert"], self.url + "/debug/stats"]).splitlines():
            if line:
                name, value = line.split()
                stats[name] = int(value)
        for name in ("aged_files", "current_files", "http_request_query_POST_bytes", "http_request_query_POST_completed",
                     "http_request_query_POST_nanos", "index_base_lookups_started", "index_base_lookups_finished", "indexfile_reads",
                     "packets_read", "packets_scanned", "removed_hidden_files"):
            self.assertIn(name, stats)
        self.assertGreater(stats["oldest_timestamp"], 10**18)
        lab.wait_for(lambda: self.lab.stats()["indexfile_current_reads"] == 0, 10, "no query to run")

    def test_queries_of_docket(self):
        """T1, T6"""
        window = re.sub("before (.*) and after (.*)", r"after \2 and before \1", times())
        for query, expected in (("host %s and host %s and net 10.6.0.0/24 and port 53 and ip proto 17 and udp and %s" % (A, B, window), PAIR),
                                ("net 10.6.0.0 mask 255.255.255.0 and tcp and " + window, 10)):
            self.assertEqual(len(self.lab.packets(query)), expected, query)
        self.assertEqual(len(self.lab.query("host 192.0.2.77 and " + window).body), 24, "docket keeps what is longer than 25 bytes")

    @unittest.skipUnless(shutil.which("mergecap"), "mergecap is not installed")
    def test_mergecap_takes_results(self):
        """T14"""
        paths = [self.file("part%d.pcap" % i) for i in range(2)]
        for path, query in zip(paths, ("udp", "tcp")):
            with open(path, "wb") as file:
                file.write(self.lab.query("host %s and %s" % (A, query)).body)
        lab.run(["mergecap", "-F", "pcap", "-w", self.file("all.pcap"), *paths])
        self.assertEqual(self.count(self.file("all.pcap")), len(FRAMES))
        if shutil.which("tshark"):
            self.assertEqual(len(lab.run(["tshark", "-r", self.file("all.pcap")]).splitlines()), len(FRAMES))

    # Libraries of TLS

    def test_tls_of_curl_and_python_by_address_and_name(self):
        """T9"""
        for host in ("127.0.0.1", "localhost"):
            url = "https://%s:%d/query" % (host, self.lab.port)
            body = subprocess.run(["curl", "-sS", "--cert", self.pem["client_cert"], "--key", self.pem["client_key"], "--cacert",
                                   self.pem["ca_cert"], "-d", "udp and host " + A, url], capture_output=True, check=True).stdout
            self.assertEqual(len(lab.read_pcap(body)), PAIR)
            context = ssl.create_default_context(cafile=self.pem["ca_cert"])
            context.load_cert_chain(self.pem["client_cert"], self.pem["client_key"])
            with socket.create_connection(("127.0.0.1", self.lab.port), 10) as plain, \
                    context.wrap_socket(plain, server_hostname=host) as secure:
                secure.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                self.assertTrue(secure.recv(99).startswith(b"HTTP/1.1 200"))

    def test_requests_verifies(self):
        """T9, as docket has it"""
        try:
            import requests
        except ImportError:
            self.skipTest("Python's requests is not installed")
        for host in ("127.0.0.1", "localhost"):
            answer = requests.post("https://%s:%d/query" % (host, self.lab.port), data="udp and host " + A, verify=self.pem["ca_cert"],
                                   cert=(self.pem["client_cert"], self.pem["client_key"]), headers={"Steno-Limit-Packets": "7"}, timeout=60)
            self.assertEqual((answer.status_code, len(lab.read_pcap(answer.content))), (200, 7))

    def test_a_certificate_that_the_authority_signed_elsewhere(self):
        """T10: docket's role makes its own with ca_key.pem, for clients only"""
        key, request, cert, extensions = (self.file("docket." + end) for end in ("key", "csr", "pem", "ext"))
        with open(extensions, "w") as file:
            file.write("extendedKeyUsage=clientAuth\n")
        lab.run(["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", request, "-subj", "/CN=docket"])
        lab.run(["openssl", "x509", "-req", "-in", request, "-CA", self.pem["ca_cert"], "-CAkey", self.lab.certs + "/ca_key.pem",
                 "-set_serial", "77", "-days", "2", "-extfile", extensions, "-out", cert])
        self.assertEqual(lab.run(["curl", "-sS", "--cert", cert, "--key", key, "--cacert", self.pem["ca_cert"], self.url + "/healthz"]), "ok\n")

    # The incumbent's own clients

    @incumbent("stenoread")
    @unittest.skipUnless(TCPDUMP and shutil.which("jq"), "tcpdump or jq is not installed")
    def test_its_stenoread(self):
        """T2, T3, T7"""
        out = self.file("theirs.pcap")
        done = self.run_program(INCUMBENT["stenoread"], "udp and host " + A, "-w", out)
        self.assertEqual((done.returncode, self.count(out)), (0, PAIR), done.stderr)
        done = self.run_program(INCUMBENT["stenoread"], "--limit-packets", "7", "udp and host " + A, "-w", out)
        self.assertEqual((done.returncode, self.count(out)), (0, 7), done.stderr)
        done = self.run_program(INCUMBENT["stenoread"], "--limit-bytes", "16", "udp and host " + A, "-w", out)
        self.assertEqual((done.returncode, os.path.getsize(out)), (0, 24), done.stderr)
        done = self.run_program(INCUMBENT["stenoread"], "host 192.0.2.77", "-w", out)
        self.assertEqual((done.returncode, os.path.getsize(out)), (0, 24), done.stderr)
        self.assertNotEqual(self.run_program(INCUMBENT["stenoread"], "no such query", "-w", out).returncode, 0)

    @incumbent("stenocurl")
    @unittest.skipUnless(shutil.which("jq"), "jq is not installed")
    def test_its_stenocurl(self):
        """T5"""
        done = self.run_program(INCUMBENT["stenocurl"], "/debug/stats", "--silent", "--show-error")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("oldest_timestamp\t", done.stdout)

    @incumbent("stenokeys")
    @unittest.skipUnless(shutil.which("jq") and os.geteuid() == 0, "jq is not installed, or this is not root")
    def test_certificates_that_its_stenokeys_made(self):
        """T9: with names that only the subject has"""
        with lab.Lab(start=False) as one:
            shutil.rmtree(one.certs)
            os.mkdir(one.certs)
            made = subprocess.run([INCUMBENT["stenokeys"], "root", "root"], capture_output=True, text=True, env=one.environment, timeout=300)
            self.assertEqual(made.returncode, 0, made.stdout + made.stderr)
            one.start()
            answer = lab.run(["curl", "-sS", "--cert", one.certs + "/client_cert.pem", "--key", one.certs + "/client_key.pem", "--cacert",
                              one.certs + "/ca_cert.pem", "https://127.0.0.1:%d/healthz" % one.port])
            self.assertEqual(answer, "ok\n")

    # Flags and configuration

    def test_flags_of_the_container(self):
        """T17: -v 1 --syslog=false -config FILE, and T13: what the configuration leaves out"""
        with lab.Lab(start=False) as one:
            config = {key: one.config[key] for key in ("Threads", "StenotypePath", "Interface", "Port", "Host", "Flags", "CertPath")}
            config["Threads"] = [{key: config["Threads"][0][key] for key in ("PacketsDirectory", "IndexDirectory")}]
            with open(one.config_path, "w") as file:
                json.dump({**config, "UnixSocket": one.socket, "SomethingElse": {"a": 1}}, file)
            with open(one.log_path, "w") as log:
                one.process = subprocess.Popen([lab.BIN + "/stenographer", "-v", "1", "--syslog=false", "-config", one.config_path],
                                               stdout=log, stderr=log)
            one.wait_ready()
            shown = json.loads(one.get("/debug/config").text)["Threads"][0]
            self.assertEqual((shown["MaxDirectoryFiles"], shown["DiskFreePercentage"]), (30000, 10))


class TheirServer(unittest.TestCase):
    """Our clients and the incumbent's server."""

    @incumbent("stenographer")
    @incumbent("stenotype")
    @unittest.skipUnless(TCPDUMP and os.geteuid() == 0, "tcpdump is not installed, or this is not root")
    def test_our_stenoread_and_stenocurl(self):
        one = lab.Lab(start=False, flags=[])
        certs = one.certs
        for directory in (one.threads[0]["PacketsDirectory"], one.threads[0]["IndexDirectory"]):
            os.makedirs(directory)
        config = {key: one.config[key] for key in ("Threads", "Interface", "Port", "Host", "CertPath")}
        config["StenotypePath"] = INCUMBENT["stenotype"]
        config["Flags"] = ["--seccomp=none", "--uid=root", "--gid=root", "--blocks=128", "--blockage_sec=1", "--fileage_sec=5"]
        with open(one.config_path, "w") as file:
            json.dump(config, file)
        with open(one.log_path, "w") as log:
            server = subprocess.Popen([INCUMBENT["stenographer"], "-config", one.config_path, "-syslog=false"], stdout=log, stderr=log,
                                      start_new_session=True)
        try:
            def ask(*command):
                return subprocess.run(command, capture_output=True, text=True, timeout=120,
                                      env={**one.environment, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"})
            lab.wait_for(lambda: ask(lab.BIN + "/stenocurl", "/debug/stats", "-sS").returncode == 0, 30,
                         "the incumbent's server, asked by our stenocurl with certificates of our stenokeys:\n" + one.log()[-2000:])
            out = one.root + "/out.pcap"

            def found():
                lab.send(FRAMES[:1])  # it looks at its clock when packets come
                done = ask(lab.BIN + "/stenoread", "udp and host " + A, "-w", out)
                self.assertEqual(done.returncode, 0, done.stderr)
                with open(out, "rb") as file:
                    return len(lab.read_pcap(file.read())) >= PAIR
            lab.send(FRAMES)
            lab.wait_for(found, 60, "the packets")
            self.assertNotEqual(ask(lab.BIN + "/stenoread", "no such query", "-w", out).returncode, 0)
            self.assertTrue(os.path.exists(certs + "/client_cert.pem"))
        finally:
            os.killpg(server.pid, 9)
            server.wait()


if __name__ == "__main__":
    lab.enter()
    lab.main()
