"""A client of the gRPC interface that knows nothing but the wire: messages are put together and taken apart by hand, so that
the numbers and types of the fields are those of other clients, whatever the server's .proto file says."""
import os
import sys

import lab

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # failed handshakes are what some tests are for
try:
    import grpc
except ImportError:
    SYSTEM = "/usr/bin/python3"  # where Debian's package is, if another Python comes first
    if os.environ.get("STENO_RPC_PYTHON") == "1" or not os.path.exists(SYSTEM):
        lab.skip("this Python has no grpc (python3-grpcio)")
    os.execve(SYSTEM, [SYSTEM, "-B", *sys.argv], {**os.environ, "STENO_RPC_PYTHON": "1"})


def varint(number):
    number &= 2**64 - 1
    out = bytearray()
    while number > 0x7f:
        out.append(number & 0x7f | 0x80)
        number >>= 7
    return bytes(out + bytes([number]))


def field(number, value):
    """A field of a message: an integer, text, bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def read_varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7f) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def fields(data):
    """{number: [integers and bytes]}"""
    found, at = {}, 0
    while at < len(data):
        tag, at = read_varint(data, at)
        if tag & 7 == 0:
            value, at = read_varint(data, at)
        elif tag & 7 == 2:
            size, at = read_varint(data, at)
            value, at = data[at:at + size], at + size
        else:
            raise ValueError("wire type %d" % (tag & 7))
        found.setdefault(tag >> 3, []).append(value)
    return found


def request(query, uid="", chunk_size=0, max_size=0):
    message = b""
    for number, value in ((1, uid), (2, chunk_size), (3, max_size), (4, query)):
        if value:
            message += field(number, value)
    return message


def response(data):
    """(uid, bytes of the file)"""
    found = fields(data)
    return found.get(1, [b""])[0].decode(), found.get(2, [b""])[0]


def read(path):
    with open(path, "rb") as file:
        return file.read()


def settings(certs, port):
    """The configuration's Rpc with the certificates of a directory."""
    return {"CaCert": certs + "/ca_cert.pem", "ServerCert": certs + "/server_cert.pem", "ServerKey": certs + "/server_key.pem",
            "ServerPort": port}


class Client:
    """One connection with the certificates that stenokeys has made in a directory."""

    def __init__(self, port, authority, identity=None):
        pair = (read(identity + "/client_key.pem"), read(identity + "/client_cert.pem")) if identity else (None, None)
        credentials = grpc.ssl_channel_credentials(read(authority + "/ca_cert.pem"), *pair)
        # A channel of its own each time: Python shares connections between channels that are alike.
        self.channel = grpc.secure_channel("127.0.0.1:%d" % port, credentials,
                                           options=[("grpc.use_local_subchannel_pool", 1)])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()

    def retrieve(self, query, timeout=120, **terms):
        """The call: iterate for (uid, bytes)."""
        method = self.channel.unary_stream("/steno.Stenographer/RetrievePcap", response_deserializer=response)
        return method(request(query, **terms), timeout=timeout)

    def fetch(self, query, **terms):
        """(bytes of the file, trailing metadata)"""
        call = self.retrieve(query, **terms)
        data = b"".join(piece for _, piece in call)
        return data, trailers(call)

    def health(self, service):
        """1 is SERVING."""
        method = self.channel.unary_unary("/grpc.health.v1.Health/Check", response_deserializer=fields)
        return method(field(1, service), timeout=20)[1][0]

    def reflect(self, *message):
        """The answer to one request of reflection, unparsed."""
        method = self.channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
        return b"".join(method(iter([field(*message)]), timeout=20))


def trailers(call):
    return {key: value for key, value in call.trailing_metadata() if key.startswith("steno-")}


def failure(call):
    """(status code's name, text, trailing metadata) of a call that must fail."""
    try:
        for _ in call:
            pass
    except grpc.RpcError as error:
        return error.code().name, error.details(), trailers(error)
    raise AssertionError("the call did not fail")
