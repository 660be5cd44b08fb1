"""What monitoring sees: promtool accepts /metrics, the alert rules and the dashboard ask only for what is there, and counters move
with traffic and queries."""
import json
import os
import re
import shutil
import subprocess
import unittest

import lab

PACKAGING = lab.SOURCE + "/packaging"
RULES = PACKAGING + "/prometheus/stenographer.rules.yml"
DASHBOARD = PACKAGING + "/grafana/stenographer.json"


def content(path):
    with open(path) as file:
        return file.read()


def names_of(expressions):
    return set(re.findall(r"\b(?:steno|process)_[a-z_]+", expressions))


def dashboard_expressions():
    board = json.loads(content(DASHBOARD))
    targets = [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    queries = [variable["query"] for variable in board["templating"]["list"]]
    return targets, queries


def rule_expressions():
    return re.findall(r"expr: (.*)", content(RULES))


def samples(page):
    """{name with labels: value}"""
    return {name: float(value) for name, value in re.findall(r"^([^#\s][^ ]*) (\S+)$", page, re.M)}


def total(page, name):
    return sum(value for key, value in samples(page).items() if key.split("{")[0] == name)


class Metrics(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = lab.Lab()

    @classmethod
    def tearDownClass(cls):
        cls.lab.stop()

    def page(self):
        answer = self.lab.get("/metrics")
        self.assertEqual(answer.status, 200)
        self.assertIn("version=0.0.4", answer.headers["Content-Type"])
        return answer.text

    def promtool(self, *arguments, **options):
        if shutil.which("promtool") is None:
            self.skipTest("promtool (package prometheus) is not installed")
        done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, **options)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def test_promtool_has_nothing_to_say(self):
        self.assertEqual(self.promtool("check", "metrics", input=self.page()), "")

    def test_rules_are_rules(self):
        self.assertIn("SUCCESS", self.promtool("check", "rules", RULES))

    def test_what_rules_and_dashboard_ask_for_is_there(self):
        there = {name.split("{")[0] for name in samples(self.page())}
        targets, queries = dashboard_expressions()
        self.assertGreater(len(targets), 20)
        self.assertGreater(len(rule_expressions()), 5)
        for expression in targets + queries + rule_expressions():
            missing = names_of(expression) - there
            self.assertFalse(missing, expression)

    def test_the_dashboard_is_made_of_expressions(self):
        """As promtool sees it, which knows no variables of Grafana."""
        rules = [{"record": "panel:%d" % i, "expr": expression.replace("$__rate_interval", "5m")}
                 for i, expression in enumerate(dashboard_expressions()[0])]
        path = self.lab.root + "/dashboard.rules"
        with open(path, "w") as file:
            json.dump({"groups": [{"name": "dashboard", "rules": rules}]}, file)  # JSON is YAML
        self.assertIn("%d rules found" % len(rules), self.promtool("check", "rules", path))

    def test_counters_move(self):
        before = self.page()
        lab.send([lab.udp4("10.3.0.1", "10.3.0.2", 30000, 53)] * 200)
        lab.wait_for(lambda: total(self.page(), "steno_stored_packets_total") >= total(before, "steno_stored_packets_total") + 200, 20,
                     "stored packets")
        self.assertEqual(len(self.lab.packets("host 10.3.0.1")), 200)
        self.assertEqual(self.lab.query("nonsense(").status, 400)

        def grown(name):
            return total(self.page(), name) - total(before, name)
        lab.wait_for(lambda: grown("steno_query_duration_seconds_count") == 1, 10, "the query's duration")
        self.assertGreaterEqual(grown("steno_capture_packets_total"), 200)
        self.assertGreaterEqual(grown("steno_capture_bytes_total"), 200 * 60)
        self.assertGreaterEqual(grown("steno_stored_bytes_total"), 4096)
        self.assertGreaterEqual(grown("steno_write_duration_seconds_count"), 1)
        self.assertEqual(grown("steno_query_matched_packets_total"), 200)
        self.assertGreater(grown("steno_query_result_bytes_total"), 200 * 60)
        self.assertEqual(grown("steno_queries_total"), 2)
        self.assertGreater(grown("steno_connections_total"), 0)

    def test_processes_are_measured(self):
        page = self.page()
        with open("/proc/%d/status" % self.lab.process.pid) as status:
            resident = int(re.search(r"VmRSS:\s+(\d+)", status.read())[1]) * 1024
        self.assertGreater(total(page, "process_resident_memory_bytes"), resident / 4)
        self.assertLess(total(page, "process_resident_memory_bytes"), resident * 4)
        descriptors = len(os.listdir("/proc/%d/fd" % self.lab.process.pid))
        self.assertLess(abs(total(page, "process_open_fds") - descriptors), 8)
        self.assertGreater(total(page, "steno_capture_resident_memory_bytes"), 1 << 20)
        self.assertEqual(total(page, "steno_capture_ready"), 1)


if __name__ == "__main__":
    lab.enter()
    lab.main()
