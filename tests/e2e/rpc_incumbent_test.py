"""The same client against the incumbent's gRPC server: both speak the same protocol, with what the incumbent does where this
server does otherwise left out."""
import json
import os
import shutil
import signal
import subprocess
import tempfile
import unittest

import rpc_client  # first: it may start another Python
import lab

INCUMBENT = "/usr/sbin/stenographer"


@unittest.skipUnless(os.path.exists(INCUMBENT), "the incumbent is not installed")
class RpcIncumbentTest(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.mkdtemp(prefix="steno-e2e-", dir="/var/tmp")
        self.addCleanup(shutil.rmtree, self.root, True)
        for name in ("pkt", "idx", "certs", "bin", "out"):
            os.mkdir("%s/%s" % (self.root, name))
        self.certs, self.port = self.root + "/certs", lab.free_port()
        lab.run([lab.BIN + "/stenokeys", "--dir", self.certs])
        # What it runs to write packets, and to ask itself a query: stenoread QUERY -w FILE.
        for path, text in (("writer", "exec sleep 1000"), ("bin/stenoread", 'cp %s/answer "$3"' % self.root)):
            with open("%s/%s" % (self.root, path), "w") as file:
                file.write("#!/bin/sh\n%s\n" % text)
            os.chmod("%s/%s" % (self.root, path), 0o755)
        with open(self.root + "/config", "w") as file:
            json.dump({"Threads": [{"PacketsDirectory": self.root + "/pkt", "IndexDirectory": self.root + "/idx"}],
                       "StenotypePath": self.root + "/writer", "Interface": "cap0", "Port": lab.free_port(),
                       "Host": "127.0.0.1", "Flags": [], "CertPath": self.certs,
                       "Rpc": {**rpc_client.settings(self.certs, self.port), "ServerPcapPath": self.root + "/out",
                               "ServerPcapMaxSize": 10**6, "ClientPcapChunkSize": 1000, "ClientPcapMaxSize": 10**6}}, file)

    def test_wire(self):
        lab.write_pcap(self.root + "/answer", [(10**18 + i, 100, bytes(100)) for i in range(50)])
        answer = rpc_client.read(self.root + "/answer")
        server = subprocess.Popen([INCUMBENT, "-config", self.root + "/config", "-syslog=false"], start_new_session=True,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                  env={**os.environ, "PATH": self.root + "/bin:" + os.environ["PATH"]})
        self.addCleanup(server.wait)
        self.addCleanup(os.killpg, server.pid, signal.SIGKILL)

        def answers():
            with rpc_client.Client(self.port, self.certs, self.certs) as client:
                try:
                    return client.fetch("port 53", timeout=5)[0] == answer
                except rpc_client.grpc.RpcError:
                    return False
        lab.wait_for(answers, 30, "the incumbent to answer")
        with rpc_client.Client(self.port, self.certs, self.certs) as client:
            pieces = list(client.retrieve("port 53", uid="seven", chunk_size=600))
            self.assertEqual({uid for uid, _ in pieces}, {"seven"})
            self.assertEqual([len(piece) for _, piece in pieces[:-1]], [600] * (len(answer) // 600))
            self.assertEqual(client.fetch("port 53", max_size=1000)[0], answer[:1000])
            lab.write_pcap(self.root + "/answer", [])
            self.assertEqual(client.fetch("port 53")[0], b"", "no packet is no message")


if __name__ == "__main__":
    lab.enter()
    lab.main()
