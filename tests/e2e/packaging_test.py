"""What is installed: files in their places, units that systemd understands, and a server that records with the capabilities, and
without the privileges, that its unit says."""
import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import unittest

import lab

PACKAGING = lab.SOURCE + "/packaging"
BUILD = os.path.dirname(lab.BIN)
UNIT = PACKAGING + "/systemd/stenographer.service"


def content(path):
    with open(path) as file:
        return file.read()


def setting(name):
    return re.search(r"^%s=(.*)$" % name, content(UNIT), re.M)[1]


def need(program):
    return unittest.skipUnless(shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin"), program + " is not installed")


class Packaging(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.mkdtemp(prefix="steno-e2e-", dir="/var/tmp")
        self.addCleanup(shutil.rmtree, self.root, True)

    @unittest.skipUnless(os.path.exists(BUILD + "/cmake_install.cmake"), "the programs are not in a build directory")
    def test_installed_files_have_their_places(self):
        def install():
            lab.run(["cmake", "--install", BUILD, "--prefix", "/usr"], env={**os.environ, "DESTDIR": self.root})
        install()
        for path in ("sbin/stenographer", "sbin/stenotype", "sbin/stenokeys", "bin/stenoread", "bin/stenocurl"):
            self.assertTrue(os.access(self.root + "/usr/" + path, os.X_OK), path)
        for path in ("/usr/lib/systemd/system/stenographer.service", "/usr/lib/systemd/system/stenographer.socket",
                     "/usr/lib/sysusers.d/stenographer.conf", "/usr/lib/tmpfiles.d/stenographer.conf", "/etc/logrotate.d/stenographer",
                     "/etc/stenographer/config", "/etc/stenographer/certs", "/usr/share/doc/stenographer/OPERATIONS.md",
                     "/usr/share/doc/stenographer/examples/stenographer.json"):
            self.assertTrue(os.path.exists(self.root + path), path)
        with open(self.root + "/etc/stenographer/config", "w") as file:
            file.write("{}")
        install()
        self.assertEqual(content(self.root + "/etc/stenographer/config"), "{}", "a configuration is kept")

    @need("systemd-analyze")
    def test_systemd_understands_the_units(self):
        for name in ("stenographer.service", "stenographer.socket"):
            with open("%s/%s" % (self.root, name), "w") as file:
                file.write(content("%s/systemd/%s" % (PACKAGING, name)).replace("/usr/sbin/stenographer", lab.BIN + "/stenographer"))
            done = subprocess.run(["systemd-analyze", "verify", "--man=no", "%s/%s" % (self.root, name)], capture_output=True, text=True)
            complaints = [line for line in (done.stdout + done.stderr).splitlines() if "stenographer" in line]
            self.assertEqual((done.returncode, complaints), (0, []), done.stderr)

    @need("logrotate")
    def test_logrotate_understands_its_file(self):
        done = subprocess.run(["/usr/sbin/logrotate", "-d", PACKAGING + "/stenographer.logrotate"], capture_output=True, text=True)
        self.assertNotIn("error:", done.stderr)

    def test_the_example_is_a_configuration(self):
        text = content(PACKAGING + "/config.example").replace("/usr/sbin/stenotype", lab.BIN + "/stenotype")
        text = text.replace("/var/l", self.root + "/l").replace("/etc/stenographer/certs", self.root + "/certs").replace("eth0", "cap0")
        lab.run([lab.BIN + "/stenokeys", "--dir", self.root + "/certs"])
        for directory in ("/lib/stenographer", "/log/stenographer"):
            os.makedirs(self.root + directory)
        text = text.replace("/run/stenographer/", self.root + "/")
        with open(self.root + "/config", "w") as file:
            file.write(text)
        done = subprocess.run([lab.BIN + "/stenographer", "-check_config", "-config", self.root + "/config"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertNotIn("warning", done.stdout)

    @unittest.skipUnless(os.geteuid() == 0 and shutil.which("setpriv"), "this is not root, or setpriv is not installed")
    def test_it_records_with_the_unit_s_privileges(self):
        wanted = setting("AmbientCapabilities").lower().replace("cap_", "").split()
        self.assertEqual(setting("CapabilityBoundingSet"), setting("AmbientCapabilities"))
        self.assertEqual(setting("NoNewPrivileges"), "yes")
        capabilities = ",".join("+" + name for name in wanted)
        user = pwd.getpwnam("nobody")
        with lab.Lab(start=False, directory=tempfile.mkdtemp(prefix="steno-e2e-", dir="/var/tmp")) as one:
            programs = one.root + "/bin"  # where that user may execute them
            os.mkdir(programs)
            for name in ("stenographer", "stenotype"):
                shutil.copy(lab.BIN + "/" + name, programs)
            one.config["StenotypePath"] = programs + "/stenotype"
            with open(one.config_path, "w") as file:
                json.dump(one.config, file)
            lab.run(["chown", "-R", "nobody", one.root])
            with open(one.log_path, "w") as log:
                one.process = subprocess.Popen(
                    ["setpriv", "--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups", "--bounding-set",
                     "-all," + capabilities, "--inh-caps", "-all," + capabilities, "--ambient-caps", "-all," + capabilities, "--no-new-privs",
                     programs + "/stenographer", "-config", one.config_path, "-syslog=false"], stdout=log, stderr=log)
            one.wait_ready()
            lab.send([lab.udp4("10.5.0.1", "10.5.0.2", 30000, 53)] * 50)
            one.wait_stored(50)
            self.assertEqual(len(one.packets("host 10.5.0.1")), 50)
            recorder = json.loads(one.get("/status").text)["interfaces"][0]["pid"]
            self.assertRegex(content("/proc/%d/status" % recorder), r"CapEff:\s+0{16}\n", "the recorder keeps capabilities")
            one.process.send_signal(signal.SIGTERM)
            self.assertEqual(one.process.wait(20), 0)
            self.assertFalse(os.path.exists("/proc/%d" % recorder), "the recorder lives on")
            self.addCleanup(one.kill)
            one.stop = lambda: None


if __name__ == "__main__":
    lab.enter()
    lab.main()
