"""Who may do what: roles, allowed names, revoked certificates, limits of a client, the audit log, and taking all of it over on SIGHUP,
with real certificates and curl."""
import json
import os
import pwd
import signal
import subprocess
import threading
import time
import unittest

import lab

SCHEMA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../packaging/audit.schema.json")
FRAMES = [lab.udp4("10.1.0.1", "10.9.0.1", 1000 + i, 53) for i in range(5)] + \
         [lab.udp4("10.2.0.1", "10.9.0.1", 2000 + i, 53) for i in range(7)]
ME = pwd.getpwuid(os.getuid()).pw_name
NAMES = ("ann", "bob", "eve")


class Access(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.audit = None
        cls.lab = lab.Lab(start=False)
        cls.audit = cls.lab.root + "/audit.json"
        lab.run([lab.BIN + "/stenokeys", "--dir", cls.lab.certs] + [word for name in NAMES for word in ("--client", name)])
        cls.configure({})
        cls.lab.start()
        lab.send(FRAMES)
        cls.lab.wait_stored(len(FRAMES))

    @classmethod
    def tearDownClass(cls):
        cls.lab.stop()

    @classmethod
    def configure(cls, settings):
        with open(cls.lab.config_path, "w") as file:
            json.dump({**cls.lab.config, "Audit": {"Path": cls.audit}, **settings}, file)

    def reload(self, settings, expected="reloaded: "):
        before = len(self.lab.log())
        self.configure(settings)
        self.lab.process.send_signal(signal.SIGHUP)
        lab.wait_for(lambda: expected in self.lab.log()[before:], 5, expected + " in the log: " + self.lab.log()[before:])
        return self.lab.log()[before:]

    def curl(self, name, path="/query", query="udp", *options):
        """(status, body) as the client with that certificate; status 0: no connection."""
        certs = self.lab.certs
        done = subprocess.run(["curl", "-sS", "--cert", "%s/client_%s_cert.pem" % (certs, name), "--key",
                               "%s/client_%s_key.pem" % (certs, name), "--cacert", certs + "/ca_cert.pem", "-w", "%{stderr}%{http_code}",
                               *(["-d", query] if query else []), *options, "https://127.0.0.1:%d%s" % (self.lab.port, path)],
                              capture_output=True)
        return int(done.stderr[-3:]) if done.returncode == 0 else 0, done.stdout

    def count(self, name, query="udp"):
        status, body = self.curl(name, "/query", query)
        self.assertEqual(status, 200, body)
        return len(lab.read_pcap(body))

    def audit_lines(self):
        with open(self.audit) as file:
            return [json.loads(line) for line in file]

    def audit_up_to(self, query):
        """The audit lines up to that of this query, asked here. Lines are written after the answers, but in their order: what was
        asked before is in them."""
        self.lab.query(query)

        def there():
            return os.path.exists(self.audit) and query in [line["query"] for line in self.audit_lines()]
        lab.wait_for(there, 10, "the audit line of " + query)
        return self.audit_lines()

    def test_roles(self):
        begin = len(self.audit_up_to("udp and port 1"))
        self.reload({"Roles": [
            {"Name": "tier1", "Certificates": ["ann"], "Operations": ["query"], "Filter": "net 10.1.0.0/16", "MaxPackets": 3},
            {"Name": "watch", "Certificates": ["bob"], "Users": [ME], "Operations": ["status"]},
            {"Name": "small", "Certificates": ["eve"], "MaxBytes": 200}]})
        self.assertEqual(self.count("ann"), 3)
        self.assertEqual(self.count("ann", "udp and not net 10.1.0.0/16"), 0)
        self.assertEqual(self.count("ann", "net 10.2.0.0/16"), 0, "nothing outside the role's network")
        self.assertEqual(self.curl("ann", "/query/explain")[0], 403)
        self.assertEqual(self.curl("ann", "/metrics", None)[0], 403)
        self.assertEqual(self.curl("ann", "/healthz", None)[0], 200)
        self.assertEqual(self.curl("bob"), (403, b"the role watch does not allow query\n"))
        self.assertEqual(self.curl("bob", "/debug/stats", None)[0], 200)
        self.assertEqual(self.lab.query("udp").status, 403, "the local user")
        self.assertEqual(self.lab.get("/metrics").status, 200)
        status, body = self.curl("eve")
        self.assertEqual((status, len(lab.read_pcap(body))), (200, 3), "16 + 3 * (16 + 62) bytes")
        self.assertEqual(self.curl("eve", "/query/explain")[0], 200)
        lines = self.audit_up_to("udp and port 2")[begin:-1]
        self.assertEqual([(l["client"]["name"], l["operation"], l["outcome"]) for l in lines],
                         [("ann", "query", "limit-packets"), ("ann", "query", "complete"), ("ann", "query", "complete"),
                          ("ann", "explain", "refused"), ("ann", "status", "refused"), ("bob", "query", "refused"), (ME, "query", "refused"),
                          ("eve", "query", "limit-bytes"), ("eve", "explain", "complete")])
        self.assertEqual(lines[1]["filter"], "net 10.1.0.0/16")
        self.assertEqual(lines[1]["query"], "udp and not net 10.1.0.0/16")
        self.reload({})
        self.assertEqual(self.count("ann"), 12)

    def test_queries_of_one_client_at_a_time(self):
        """Of many at the same moment some are told to come again, and later all are answered."""
        self.reload({"Query": {"MaxPerClient": 1}})
        answers, gate = [], threading.Barrier(8)

        def ask():
            gate.wait()
            answers.append(self.lab.query("udp or portrange 1-65535 and not tcp"))
        askers = [threading.Thread(target=ask) for _ in range(8)]
        for asker in askers:
            asker.start()
        for asker in askers:
            asker.join()
        self.assertLessEqual({answer.status for answer in answers}, {200, 429})
        self.assertIn(200, [answer.status for answer in answers])
        for answer in answers:
            self.assertEqual(answer.headers.get("Retry-After"), "5" if answer.status == 429 else None)
        lab.wait_for(lambda: self.lab.query("udp").status == 200, 5, "the place to be given back")
        self.reload({})

    def test_allowed_names(self):
        self.reload({"Tls": {"AllowedNames": ["ann"]}})
        self.assertEqual(self.count("ann"), 12)
        self.assertEqual(self.curl("bob"), (403, b"the certificate's name bob is not allowed\n"))
        self.assertEqual(self.curl("bob", "/healthz", None)[0], 403)
        self.assertEqual(len(self.lab.packets("udp")), 12, "local users have no certificate")
        self.reload({})
        self.assertEqual(self.count("bob"), 12)

    def test_revocation(self):
        certs = self.lab.certs
        lab.revoke(certs, "client_eve_cert.pem", "crl.pem")
        self.assertEqual(self.count("eve"), 12)
        self.reload({"Tls": {"RevocationList": certs + "/crl.pem"}})
        self.assertEqual(self.curl("eve")[0], 0, "no connection")
        self.assertEqual(self.count("ann"), 12)
        log = self.reload({"Tls": {"RevocationList": certs + "/missing.pem"}}, "not reloaded: ")
        self.assertIn("missing.pem", log)
        self.assertEqual(self.curl("eve")[0], 0, "the last good list holds")
        self.reload({})
        self.assertEqual(self.count("eve"), 12)

    def test_reload_says_what_waits(self):
        log = self.reload({"Port": 1, "Query": {"TimeoutSeconds": 5, "MaxConcurrent": 3}}, "next start: ")
        self.assertIn("changed keys: Query.TimeoutSeconds", log)
        self.assertIn("next start: Port, Query.MaxConcurrent", log)
        self.assertIn('"TimeoutSeconds": 5', self.lab.get("/debug/config").text)
        log = self.reload({"Roles": [{"Name": "x", "Users": ["y"], "Filter": "port 99999"}]}, "not reloaded: ")
        self.assertIn("Roles[0].Filter: column 6: port 99999", log)
        self.assertEqual(self.count("ann"), 12)
        self.reload({})

    def test_reload_keeps_connections_and_the_capture(self):
        pids = self.lab.stenotypes()
        connection = lab.UnixConnection(self.lab.socket, 10)
        for _ in range(3):
            connection.request("POST", "/query", body=b"udp")
            self.assertEqual(len(lab.read_pcap(connection.getresponse().read())), 12)
            self.reload({})
        self.assertEqual(self.lab.stenotypes(), pids)

    def test_audit_lines_fit_their_schema(self):
        try:
            import jsonschema
        except ImportError:
            self.skipTest("no python3-jsonschema here")
        self.lab.query("port 99999")
        self.lab.query("udp", {"Steno-Limit-Packets": "1"})
        self.lab.request("POST", "/query?format=json", body=b"udp")
        self.lab.request("POST", "/query", body=b"\xff\xfe")
        self.lab.get("/query/explain?query=udp")
        self.count("ann")
        lines = self.audit_up_to("udp and port 3")
        with open(SCHEMA) as file:
            validator = jsonschema.Draft202012Validator(json.load(file))
        self.assertGreaterEqual(len(lines), 7)
        for line in lines:
            self.assertEqual([error.message for error in validator.iter_errors(line)], [], line)
        refused = next(line for line in lines if line["outcome"] == "refused")
        for wrong in ({**lines[0], "more": 1}, {k: v for k, v in lines[0].items() if k != "client"}, {**refused, "reason": 1}):
            self.assertFalse(validator.is_valid(wrong), "the schema refuses what is wrong")

    def test_audit_rotation(self):
        self.audit_up_to("udp and port 4")
        os.rename(self.audit, self.audit + ".1")
        self.assertEqual([line["query"] for line in self.audit_up_to("udp and port 53")], ["udp and port 53"])

    def test_check_config(self):
        def check(settings):
            path = self.lab.root + "/checked"
            with open(path, "w") as file:
                json.dump({**self.lab.config, **settings}, file)
            return subprocess.run([lab.BIN + "/stenographer", "--check_config", "-config", path], capture_output=True, text=True)
        good = check({})
        self.assertEqual(good.returncode, 0, good.stdout + good.stderr)
        bad = check({"Port": 70000, "Interface": 7})
        self.assertEqual(bad.returncode, 1)
        self.assertIn("Port: the number 70000", bad.stderr)
        self.assertIn("Interface: the number 7", bad.stderr)
        worse = check({"StenotypePath": "/nonexistent", "CertPath": "/nonexistent", "Colour": 1, "Interface": "nosuch0"})
        self.assertEqual(worse.returncode, 1)
        for line in ("error: StenotypePath: ", "error: Tls, CertPath: ", "warning: Colour: unknown key", "warning: Interface: nosuch0 "):
            self.assertIn(line, worse.stdout)


class ReloadOfRetention(unittest.TestCase):
    def test_reload(self):
        """Files older than MaxAge go once the reloaded configuration says so."""
        with lab.Lab(flags=["--fileage_sec=1"]) as one:
            lab.send(FRAMES)
            one.wait_stored(len(FRAMES))
            lab.wait_for(lambda: [n for n in os.listdir(one.root + "/pkt0") if not n.startswith(".")], 10, "a file to be published")
            time.sleep(1.5)
            self.assertEqual(len(one.packets("udp")), 12)
            one.threads[0]["MaxAge"] = "1s"
            with open(one.config_path, "w") as file:
                json.dump(one.config, file)
            one.process.send_signal(signal.SIGHUP)
            lab.wait_for(lambda: len(one.packets("udp")) == 0, 10, "the packets to go: " + one.log()[-2000:])
            self.assertIn("changed keys: Threads[0].MaxAge", one.log())


if __name__ == "__main__":
    lab.enter()
    lab.main()
