"""An independent reader of packet files (docs/FORMAT.md) and of capture files, for tests: nothing of the project's own code is
used, and everything is exact to the nanosecond."""
import os
import struct

BLOCK_MAGIC = b"STENBLK1"
VLAN_VALID, TPID_VALID = 0x10, 0x40


class Packet:
    """One packet with its VLAN tag back in its frame. Compares by time, original length and frame."""

    def __init__(self, ns, original, frame, interface=""):
        self.ns, self.original, self.frame, self.interface = ns, max(original, len(frame)), bytes(frame), interface

    def key(self):
        return self.ns, self.original, self.frame


def read_packet_file(path):
    with open(path, "rb") as file:
        data = file.read()
    packets, begin = [], 0
    while begin < len(data):
        if data[begin + 48:begin + 56] != BLOCK_MAGIC:
            raise AssertionError("%s: no block at byte %d" % (path, begin))
        first_ns, last_ns, count, used, disk = struct.unpack_from("<qqIII", data, begin + 96)
        interface = data[begin + 160:begin + 176].split(b"\0")[0].decode()
        at, times = begin + 512, []
        for number in range(count):
            following, seconds, nanoseconds, captured, original, status, mac = struct.unpack_from("<IIIIIIH", data, at)
            tci, tpid = struct.unpack_from("<IH", data, at + 32)
            frame = data[at + mac:at + mac + captured]
            if status & VLAN_VALID:
                tag = struct.pack(">HH", tpid if status & TPID_VALID else 0x8100, tci)
                frame, original = frame[:12] + tag + frame[12:], original + 4
            packets.append(Packet(seconds * 10**9 + nanoseconds, original, frame, interface))
            times.append(packets[-1].ns)
            if (following == 0) != (number == count - 1) or at + mac + captured > begin + used:
                raise AssertionError("%s: packet at byte %d" % (path, at))
            at += following
        if (first_ns, last_ns) != (min(times), max(times)) or disk % 4096 != 0:
            raise AssertionError("%s: block header at byte %d" % (path, begin))
        begin += disk
    return packets


def read_directory(path):
    """The packets of all complete files, file after file."""
    names = sorted((name for name in os.listdir(path) if name.isdigit()), key=int)
    return [packet for name in names for packet in read_packet_file(os.path.join(path, name))]


def read_capture(path):
    """The Ethernet packets of a pcap or pcapng file; what follows damage is left out."""
    with open(path, "rb") as file:
        data = file.read()
    try:
        return list(_pcapng(data) if data[:4] == b"\n\r\r\n" else _pcap(data))
    except (struct.error, IndexError, KeyError) as error:
        raise AssertionError("%s: %s" % (path, error))


def _pcap(data):
    order = "<" if data[0] in (0xd4, 0x4d) else ">"
    magic, = struct.unpack_from(order + "I", data)
    unit = {0xa1b2c3d4: 1000, 0xa1b23c4d: 1}[magic]
    link, at = struct.unpack_from(order + "I", data, 20)[0] & 0xffff, 24
    while at + 16 <= len(data):
        seconds, fraction, captured, original = struct.unpack_from(order + "IIII", data, at)
        at += 16
        if captured > 262144 or at + captured > len(data):
            return
        if link == 1:
            yield Packet(seconds * 10**9 + fraction * unit, original, data[at:at + captured])
        at += captured


def _pcapng(data):
    at, order, interfaces = 0, "<", []
    while at + 12 <= len(data):
        if data[at:at + 4] == b"\n\r\r\n":
            order, interfaces = "<" if data[at + 8:at + 12] == b"\x4d\x3c\x2b\x1a" else ">", []
        kind, length = struct.unpack_from(order + "II", data, at)
        body, at = data[at + 8:at + length - 4], at + length
        if length < 12 or at > len(data):
            return
        if kind == 1:
            interfaces.append((struct.unpack_from(order + "H", body)[0], struct.unpack_from(order + "I", body, 4)[0],
                               *_time_options(body[8:], order)))
        elif kind in (2, 6):
            number, high, low, captured, original = struct.unpack_from(order + "IIIII", body)
            if kind == 2:
                number = struct.unpack_from(order + "H", body)[0]
            link, _, resolution, offset = interfaces[number]
            units = high << 32 | low
            ns = units * 10**9 >> (resolution & 0x7f) if resolution & 0x80 else units * 10**9 // 10**resolution
            ns = min(max(ns + offset * 10**9, 0), 2**32 * 10**9 - 1)
            if link == 1:
                yield Packet(ns, original, body[20:20 + captured])
        elif kind == 3:
            original, = struct.unpack_from(order + "I", body)
            captured = min(original, interfaces[0][1] or original)
            if interfaces[0][0] == 1:
                yield Packet(0, original, body[4:4 + captured])


def _time_options(options, order):
    resolution, offset = 6, 0
    while len(options) >= 4:
        code, size = struct.unpack_from(order + "HH", options)
        if code == 0:
            break
        if code == 9:
            resolution = options[4]
        if code == 14:
            offset, = struct.unpack_from(order + "q", options, 4)
        options = options[4 + (size + 3) // 4 * 4:]
    return resolution, offset
