"""The server under a service manager: what it says over NOTIFY_SOCKET, sockets that it is passed, and how its recorder is
supervised, as /status shows it."""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import unittest

import lab

class Manager:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.said = []

    def hear(self, timeout=0.2):
        self.socket.settimeout(timeout)
        try:
            while True:
                self.said += self.socket.recv(4096).decode().split("\n")
        except TimeoutError:
            return self.said

    def wait(self, word, seconds=20):
        lab.wait_for(lambda: any(line.startswith(word) for line in self.hear(0.05)), seconds, "%s, not only %s" % (word, self.said))


def start(the_lab, command=None, environment=None, **options):
    """Starts the server with an environment of its own."""
    with open(the_lab.log_path, "a") as log:
        the_lab.process = subprocess.Popen(
            [*(command or []), lab.BIN + "/stenographer", "-config", the_lab.config_path, "-syslog=false", "-v", "1"],
            stdout=log, stderr=log, env={**os.environ, **(environment or {})}, **options)
    lab.atexit.register(the_lab.kill)


def status(the_lab):
    answer = the_lab.get("/status")
    assert answer.status == 200 and answer.headers["Content-Type"] == "application/json", answer.text
    return json.loads(answer.text)


class Notify(unittest.TestCase):
    def one_life(self, address, watchdog=None):
        with lab.Lab(start=False) as one:
            manager = Manager(address or one.root + "/notify")
            environment = {"NOTIFY_SOCKET": address or one.root + "/notify"}
            if watchdog:
                environment["WATCHDOG_USEC"] = watchdog
            start(one, environment=environment)
            manager.wait("READY=1")
            self.assertTrue(one.get("/healthz").status == 200, "ready, but the socket does not listen")
            manager.wait("STATUS=recording cap0")
            yield one, manager
            manager.hear()
            one.stop()
            self.assertIn("STOPPING=1", manager.hear())
            self.assertEqual(manager.said[-1], "STOPPING=1")
            one.start()  # the lab stops one itself

    def test_ready_and_stopping(self):
        for one, manager in self.one_life(None):
            self.assertEqual(manager.hear().count("READY=1"), 1)
            self.assertFalse([line for line in manager.said if line.startswith("WATCHDOG")], "nobody watches")
            for pid in one.stenotypes():
                with open("/proc/%d/environ" % pid) as variables:
                    self.assertNotIn("NOTIFY_SOCKET", variables.read(), "stenotype knows the service manager")

    def test_abstract_socket_and_reload(self):
        for one, manager in self.one_life("@stenographer-test-%d" % os.getpid()):
            manager.said.clear()
            one.process.send_signal(signal.SIGHUP)
            manager.wait("READY=1")
            said = [line for line in manager.said if not line.startswith("STATUS")]
            self.assertEqual(said[0], "RELOADING=1")
            self.assertRegex(said[1], r"^MONOTONIC_USEC=\d+$")
            self.assertEqual(said[2], "READY=1")

    def test_the_watchdog_hears_of_a_server_that_lives(self):
        for one, manager in self.one_life(None, watchdog="400000"):
            for _ in range(3):
                manager.said.clear()
                manager.wait("WATCHDOG=1", 20)
            one.process.send_signal(signal.SIGSTOP)
            manager.hear()
            manager.said.clear()
            self.assertEqual(manager.hear(1.5), [], "a sign of life of a process that is stopped")
            one.process.send_signal(signal.SIGCONT)
            manager.wait("WATCHDOG=1")

    def test_a_missing_interface_does_not_delay_readiness(self):
        with lab.Lab(start=False, settings={"Interface": ["cap0", "none0"]}) as one:
            manager = Manager(one.root + "/notify")
            start(one, environment={"NOTIFY_SOCKET": one.root + "/notify"})
            manager.wait("READY=1")
            manager.wait("STATUS=interface none0: it does not exist")


class SocketActivation(unittest.TestCase):
    PASS_ON = ("import os, sys\n"
               "for i, fd in enumerate(map(int, sys.argv[1].split(','))):\n"
               "    os.dup2(fd, 3 + i)\n"
               "os.environ['LISTEN_PID'] = str(os.getpid())\n"
               "os.execv(sys.argv[2], sys.argv[2:])\n")

    def pass_on(self, one, sockets, names=None, bad_pid=False):
        """Starts the server by a parent that passes it sockets."""
        spare = [os.dup2(s.fileno(), 100 + i) for i, s in enumerate(sockets)]
        code = self.PASS_ON.replace("str(os.getpid())", "'1'") if bad_pid else self.PASS_ON
        environment = {"LISTEN_FDS": str(len(sockets))}
        if names:
            environment["LISTEN_FDNAMES"] = names
        start(one, [sys.executable, "-c", code, ",".join(map(str, spare))], environment, pass_fds=spare)
        for fd in spare:
            os.close(fd)

    def curl(self, one, port, path="/healthz"):
        return lab.run(["curl", "-sS", "--cert", one.certs + "/client_cert.pem", "--key", one.certs + "/client_key.pem",
                        "--cacert", one.certs + "/ca_cert.pem", "https://127.0.0.1:%d%s" % (port, path)])

    def listeners(self, directory):
        tcp = socket.socket()
        tcp.bind(("127.0.0.1", 0))
        unix = socket.socket(socket.AF_UNIX)
        unix.bind(directory + "/passed.sock")
        for one in (tcp, unix):
            one.listen()
        return tcp, unix

    def test_passed_sockets_replace_those_of_the_configuration(self):
        with lab.Lab(start=False) as one:
            tcp, unix = self.listeners(one.root)
            metrics = socket.socket()
            metrics.bind(("127.0.0.1", 0))
            metrics.listen()
            one.socket = one.root + "/passed.sock"
            self.pass_on(one, [metrics, tcp, unix], "metrics:tls:local")
            one.wait_ready()  # by the Unix socket that was passed
            self.assertEqual(self.curl(one, tcp.getsockname()[1]), "ok\n")
            self.assertIn("steno_build_info", lab.run(["curl", "-sS", "http://127.0.0.1:%d/metrics" % metrics.getsockname()[1]]))
            self.assertFalse(os.path.exists(one.root + "/steno.sock"), "the configuration's socket is opened as well")
            with self.assertRaises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", one.port), 5)
            for pid in one.stenotypes():
                with open("/proc/%d/environ" % pid) as variables:
                    self.assertNotIn("LISTEN_", variables.read())

    def test_sockets_for_another_process_are_left_alone(self):
        with lab.Lab(start=False) as one:
            self.pass_on(one, self.listeners(one.root), bad_pid=True)
            one.wait_ready()
            self.assertEqual(self.curl(one, one.port), "ok\n")

    def test_what_is_no_listening_socket_is_refused(self):
        with lab.Lab(start=False) as one:
            idle = socket.socket()
            self.pass_on(one, [idle])
            self.assertEqual(one.process.wait(20), 1)
            self.assertIn("descriptor 3 () of the service manager is not a listening stream socket", one.log())
            one.start()

    @unittest.skipUnless(shutil.which("systemd-socket-activate"), "systemd-socket-activate is not installed")
    def test_systemd_socket_activate(self):
        with lab.Lab(start=False) as one:
            port = lab.free_port()
            start(one, ["systemd-socket-activate", "-l", "127.0.0.1:%d" % port])
            lab.wait_for(lambda: self.try_connect(port), 20, "systemd-socket-activate to listen")
            one.wait_ready()
            self.assertEqual(self.curl(one, port), "ok\n")

    @staticmethod
    def try_connect(port):
        socket.create_connection(("127.0.0.1", port), 5).close()
        return True


class Supervision(unittest.TestCase):
    def test_last_words_and_reason_are_kept(self):
        with lab.Lab() as one:
            before = status(one)["interfaces"][0]
            self.assertTrue(before["running"])
            self.assertIsNone(before["last_exit"])
            self.assertEqual(before["pid"], one.stenotypes()[0])
            os.kill(before["pid"], signal.SIGSEGV)
            lab.wait_for(lambda: status(one)["interfaces"][0]["starts"] == 2, 20, "a second start")
            after = status(one)["interfaces"][0]
            self.assertIn("signal 11", after["last_exit"])
            self.assertIsNotNone(after["last_exit_time"])
            self.assertNotEqual(after["last_words"], [])
            one.wait_ready()
            self.assertNotEqual(status(one)["interfaces"][0]["pid"], before["pid"])

    def test_a_recorder_that_cannot_start_says_why(self):
        with lab.Lab(start=False, flags=["--no_such_flag"]) as one:
            one.start(wait=False)
            lab.wait_for(lambda: status(one)["interfaces"][0]["starts"] >= 2, 20, "a second start")
            page = status(one)
            self.assertFalse(page["ready"])
            self.assertIn("no_such_flag", "\n".join(page["interfaces"][0]["last_words"]))
            self.assertTrue(page["not_ready"])

    def test_what_hangs_is_not_what_is_quiet(self):
        with lab.Lab() as one:
            thread = status(one)["interfaces"][0]["threads"][0]
            self.assertLess(thread["seconds_since_it_moved"], 10, "no traffic, but it moves")
            pid = one.stenotypes()[0]
            os.kill(pid, signal.SIGSTOP)
            try:
                lab.wait_for(lambda: not status(one)["ready"], 30, "a thread that hangs")
                self.assertIn("capture thread 0 has not moved", status(one)["not_ready"][0])
                self.assertTrue(status(one)["interfaces"][0]["running"])
            finally:
                os.kill(pid, signal.SIGCONT)
            one.wait_ready()


class Status(unittest.TestCase):
    def test_numbers_are_those_of_the_traffic(self):
        with lab.Lab(threads=2, settings={"NoSuchKey": 1}, thread_settings={"MaxAge": "9d"}) as one:
            lab.send([lab.udp4("10.4.0.1", "10.4.0.2", 30000, port) for port in range(300)])
            one.wait_stored(300)
            self.assertEqual(len(one.packets("host 10.4.0.1")), 300)
            lab.wait_for(lambda: any(thread["packets_per_second"] > 0 for thread in status(one)["interfaces"][0]["threads"]), 20, "a rate")
            page = status(one)
            self.assertTrue(page["ready"])
            self.assertEqual(page["not_ready"], [])
            self.assertIn("NoSuchKey", page["config_warnings"][0])
            self.assertRegex(page["version"], r"^\d+\.\d+\.\d+$")
            threads = page["interfaces"][0]["threads"]
            self.assertEqual([thread["thread"] for thread in threads], [0, 1])
            self.assertGreaterEqual(sum(thread["stored_packets"] for thread in threads), 300)
            self.assertEqual(sum(sum(thread["drops"].values()) for thread in threads), 0)
            self.assertGreater(threads[0]["ring"]["blocks"], 0)
            self.assertEqual([thread["packets_directory"] for thread in threads], [t["PacketsDirectory"] for t in one.threads])
            self.assertEqual(page["queries"]["completed"], 1)
            self.assertEqual(page["queries"]["packets"], 300)
            for directory in page["directories"]:
                free = os.statvfs(directory["packets_directory"])
                self.assertAlmostEqual(directory["packets_space"]["free_bytes"], free.f_bavail * free.f_frsize, delta=4 << 30)
                self.assertEqual(directory["limits"]["max_age_seconds"], 9 * 86400)
                self.assertEqual(directory["limits"]["disk_free_percentage"], 1)
            self.assertEqual(len(page["directories"]), 2)


if __name__ == "__main__":
    lab.enter()
    lab.main()
