"""The incumbent's server (Debian package `stenographer`), asked over TLS with the certificates that its package has made."""
import http.client
import json
import os
import signal
import ssl
import subprocess

import capture_lab as bench
from capture_lab import lab

CLIENT = [bench.INCUMBENT_CERTS + "/client_cert.pem", bench.INCUMBENT_CERTS + "/client_key.pem"]


class IncumbentServer:
    """One that runs over two directories of files, with the packet writer `writer`. Ready where the caller finds it so."""

    def __init__(self, root, packets, indexes, port, writer, flags, free_percentage):
        self.port, self.log_path = port, root + "/server.log"
        config = {"Threads": [{"PacketsDirectory": packets, "IndexDirectory": indexes, "MaxDirectoryFiles": 30000,
                               "DiskFreePercentage": free_percentage}],
                  "StenotypePath": writer, "Interface": "cap0", "Port": port, "Host": "127.0.0.1", "Flags": flags,
                  "CertPath": bench.INCUMBENT_CERTS}
        with open(root + "/config", "w") as file:
            json.dump(config, file)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname = False  # its certificate has no subjectAltName
        self.context.verify_mode = ssl.CERT_NONE
        self.context.load_cert_chain(*CLIENT)
        with open(self.log_path, "w") as log:
            self.process = subprocess.Popen([bench.INCUMBENT_SERVER, "-config", root + "/config", "-syslog=false"],
                                            stdout=log, stderr=log, start_new_session=True)
        lab.atexit.register(self.kill)

    def check_alive(self):
        if self.process.poll() is not None:
            with open(self.log_path) as log:
                raise bench.Unmeasurable("the incumbent's server ended by itself: " + log.read()[-300:].strip())

    def request(self, method, path, body=None, timeout=60):
        """Status and body of the answer."""
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout, context=self.context)
        try:
            connection.request(method, path, body=body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def kill(self):
        """Ends the server and its packet writer, which are a session of their own."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
