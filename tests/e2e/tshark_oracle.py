"""An independent decoder: what tshark sees in each packet of a pcap, in the terms of the query languages.

tshark also dissects what this project does not look through (headers quoted inside ICMP errors, Teredo, L2TP, ...), so each
packet's protocol list is read only as far as the layers that both know. Packets that tshark calls malformed, or cannot list
without doubt, are `doubtful`: both sides leave them out of the comparison, and their number is printed.
"""
import ipaddress
import subprocess

SEEN = {"eth", "ethertype", "vlan", "ieee8021ad", "mpls", "pwethheuristic", "pwethcw", "pwethnocw", "ip", "ipv6", "ipv6.hopopts",
        "ipv6.fraghdr", "ipv6.routing", "ipv6.dstopts", "ah", "gre", "vxlan", "geneve", "gtp", "udp", "tcp", "sctp", "pppoes",
        "ppp", "icmp", "icmpv6", "arp", "igmp", "esp", "ospf", "pim", "vrrp", "eigrp", "rsvp", "egp"}
# Names behind which tshark may show IP headers that are not layers of the packet.
END = {"icmp", "icmpv6", "arp", "igmp", "esp", "ospf", "pim", "vrrp", "eigrp", "rsvp", "egp", "data"}
FIELDS = ["frame.number", "frame.protocols", "ip.src", "ip.dst", "ip.proto", "ipv6.src", "ipv6.dst", "ipv6.nxt",
          "ipv6.fraghdr.nxt", "ipv6.hopopts.nxt", "ipv6.dstopts.nxt", "ipv6.routing.nxt", "ah.next_header", "tcp.srcport", "tcp.dstport",
          "udp.srcport", "udp.dstport", "sctp.srcport", "sctp.dstport", "vlan.id", "mpls.label", "_ws.malformed",
          "ip.bogus_header_length", "gre.proto", "frame.len", "frame.cap_len", "ieee8021ad.id"]
# Tunnels that only tshark looks through: PPTP's GRE, MPLS in UDP, WCCP's GRE.
NOT_SEEN = {("gre", "ppp"), ("udp", "mpls")}
WCCP = "0x883e"


class Seen:
    def __init__(self):
        self.doubtful = False
        self.addresses, self.ports, self.protocols, self.vlans, self.mpls = set(), set(), set(), set(), set()


def known_fields():
    listed = {line.split("\t")[2] for line in subprocess.run(["tshark", "-G", "fields"], capture_output=True, text=True).stdout
              .splitlines() if line.startswith("F\t")}
    return [field for field in FIELDS if field in listed or field.startswith("_ws")]


def decode(path):
    """[Seen] in file order."""
    fields = known_fields()
    command = ["tshark", "-r", path, "-n", "-T", "fields", "-E", "separator=;", "-E", "occurrence=a", "-E", "aggregator=,",
               "-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE", "-o", "tcp.desegment_tcp_streams:FALSE"]
    for field in fields:
        command += ["-e", field]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return [interpret(dict(zip(fields, (value.split(",") if value else [] for value in line.split(";"))))) for line in lines]


def interpret(row):
    seen = Seen()
    tokens = row["frame.protocols"][0].split(":") if row["frame.protocols"] else []
    prefix = []
    for token in tokens:
        before = prefix[-1] if prefix else ""
        if token not in SEEN or (before, token) in NOT_SEEN or (before == "gre" and WCCP in row.get("gre.proto", [])):
            break
        prefix.append(token)
        if token in END:
            break
    count = {name: prefix.count(name) for name in ("ip", "ipv6", "tcp", "udp", "sctp")}
    later = tokens[len(prefix):]
    if row.get("_ws.malformed") or row.get("ip.bogus_header_length") or "_ws.malformed" in tokens or \
            any("short" in token for token in tokens) or row["frame.len"] != row["frame.cap_len"]:
        seen.doubtful = True
    # Beyond the layers both know there may still be some that only one of them follows.
    if any(token in ("ip", "ipv6") for token in later) and not any(token in ("icmp", "icmpv6") for token in prefix):
        seen.doubtful = True
    if len(row.get("ip.src", [])) < count["ip"] or len(row.get("ipv6.src", [])) < count["ipv6"]:
        seen.doubtful = True
    for kind in ("ip", "ipv6"):
        for end in ("src", "dst"):
            seen.addresses |= {ipaddress.ip_address(a) for a in row.get("%s.%s" % (kind, end), [])[:count[kind]]}
    for kind, number in (("tcp", 6), ("udp", 17), ("sctp", 132)):
        for end in ("srcport", "dstport"):
            seen.ports |= {int(p) for p in row.get("%s.%s" % (kind, end), [])[:count[kind]]}
    seen.protocols |= {int(p) for p in row.get("ip.proto", [])[:count["ip"]]}
    if count["ipv6"]:
        extensions = [field for field in ("ipv6.fraghdr.nxt", "ipv6.hopopts.nxt", "ipv6.dstopts.nxt", "ipv6.routing.nxt",
                                          "ah.next_header") if row.get(field)]
        if extensions and (len(extensions) > 1 or count["ipv6"] > 1):
            seen.doubtful = True
        elif extensions:
            seen.protocols.add(int(row[extensions[0]][-1], 0))
        else:
            seen.protocols |= {int(p) for p in row.get("ipv6.nxt", [])[:count["ipv6"]]}
    if "ah" in prefix and count["ip"]:
        seen.doubtful = True
    seen.vlans |= {int(v, 0) for v in row.get("vlan.id", []) + row.get("ieee8021ad.id", [])}
    seen.mpls |= {int(v, 0) for v in row.get("mpls.label", [])}
    return seen
