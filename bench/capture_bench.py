#!/usr/bin/env python3
"""The figures of capturing and of queries, side by side with the Debian package `stenographer` where that is installed.

    bench/run capture [--only P1,P3] [--runs N] [--seconds N] [--pps N] [--no-incumbent] [--json FILE] [--add] [--table]
                      [--pcaps DIR]

Both programs record the same made traffic in turn, on one machine, in one run: the source on CPU 0, the recorder on CPU 1.
docs/PERFORMANCE.md says what each figure is. Needs root; everything happens in a network namespace of its own.
"""
import argparse
import glob
import json
import os
import platform
import sys
import threading
import time

import capture_lab as bench
import freshness
import load_figures
import query_figures
from capture_lab import Unmeasurable, lab, median
from figure import Figure, cell, for_both, of

MIX_RATES = [1_000_000, 800_000, 600_000, 450_000, 300_000, 200_000, 100_000]
QUIET_FRAMES_PER_SECOND = 10


class Session:
    """The options, the products and the directory of one run of this program."""

    def __init__(self, options):
        self.runs, self.seconds, self.pps = options.runs, options.seconds, options.pps
        self.this = bench.this_product()
        self.incumbent = None if options.no_incumbent else bench.incumbent_product()
        self.directory = bench.make_directory()
        self.store_packets = options.store_packets
        self.stores = {}  # what query_figures has recorded
        self.pcaps = sorted(path for path in glob.glob(options.pcaps + "/**", recursive=True) if os.path.isfile(path))

    def products(self):
        return [product for product in (self.incumbent, self.this) if product]

    def mix(self):
        """The real mix, or what stands for it where there are no captures."""
        return ("pcap", "--pcap", *self.pcaps) if self.pcaps else ("imix",)

    def loads(self, bytes_per_second, flags, *traffic):
        """The same load for each product in turn, and that several times."""
        bench.require_space(self.directory, bytes_per_second * self.seconds)
        return [bench.measure_load(product, self.directory, flags, *traffic, "--seconds", self.seconds)
                for _ in range(self.runs) for product in self.products()]

    def held_rate(self):
        """The highest rate of the real mix that the source reaches and every product records without loss."""
        for rate in [self.pps] if self.pps else MIX_RATES:
            runs = [bench.measure_load(product, self.directory, [], *self.mix(), "--seconds", 3, "--pps", rate)
                    for product in self.products()]
            if all(run["lost"] == 0 and run["pps"] > 0.97 * rate for run in runs):
                return rate
        raise Unmeasurable("no rate down to %d/s that the source reaches and all hold without loss" % rate)


class Loss(Figure):
    unit, reach = "% lost", "0 in every run"

    def __init__(self, what, *traffic):
        self.what, self.traffic = what, traffic

    def measure(self, session):
        return session.loads(1.5e9, [], *self.traffic)

    def value(self, run):
        return 100 * run["lost"] / run["sent"]

    def met(self, runs, row):
        return all(lost == 0 for lost in of(runs, "this", lambda run: run["lost"]))

    def note(self, runs):
        return "packets lost in each run: %s; source %.2f to %.2f Mpps" % (
            for_both(runs, lambda name: of(runs, name, lambda run: run["lost"])),
            min(run["pps"] for run in runs) / 1e6, max(run["pps"] for run in runs) / 1e6)


class CpuPerPacket(Figure):
    what, unit, reach = "recorder CPU per packet, real mix at an equal rate", "ns", "ratio <= 0.2"

    def measure(self, session):
        rate = session.held_rate()
        return session.loads(0.7e9, [], *session.mix(), "--pps", rate)

    def value(self, run):
        return 1e9 * run["cpu_seconds"] / run["stored"]

    def met(self, runs, row):
        return row["ratio"] <= 0.2 if row["ratio"] else None

    def note(self, runs):
        return "%s, %d packets/s of %.0f bytes; lost: %s; until files and indexes are complete: %s ns" % (
            "IMIX for lack of captures" if runs[0]["traffic"] == "imix" else "captures", median([run["pps"] for run in runs]),
            runs[0]["bytes"] / runs[0]["sent"], for_both(runs, lambda name: of(runs, name, lambda run: run["lost"])),
            for_both(runs, lambda name: "%.0f" % median(
                of(runs, name, lambda run: 1e9 * run["cpu_seconds_to_end"] / run["stored"]))))


class Freshness(Figure):
    what, unit, reach = "wire to query, on a busy / on a quiet link", "s", "< 1 / < 2"

    def measure(self, session):
        runs = []
        for product in session.products():
            for link in ("busy", "quiet"):
                waits = freshness.measure(product, session.directory, link)
                runs.append({"product": product.name, "link": link, "seconds": waits})
                print("  %-9s %s link: %s s" % (product.name, link, waits), file=sys.stderr, flush=True)
        return runs

    def waits(self, runs, name, link):
        return sum((run["seconds"] for run in runs if run["product"] == name and run["link"] == link), [])

    def columns(self, runs):
        text = {name: " / ".join("%.2f" % median(self.waits(runs, name, link)) for link in ("busy", "quiet"))
                if of(runs, name, len) else None for name in ("incumbent", "this")}
        return {**text, "ratio": None}

    def met(self, runs, row):
        return max(self.waits(runs, "this", "busy")) < 1 and max(self.waits(runs, "this", "quiet")) < 2

    def note(self, runs):
        return "%s; busy: %d packets/s of IMIX, quiet: %d/s; %d s is the longest that is waited" % (
            for_both(runs, lambda name: "at worst %.2f / %.2f s of %d" % (
                max(self.waits(runs, name, "busy")), max(self.waits(runs, name, "quiet")),
                len(self.waits(runs, name, "busy")))),
            freshness.BUSY_PPS, freshness.QUIET_PPS, freshness.LIMIT)


class QuietDisk(Figure):
    what, reach = "disk bytes per captured byte, 10 packets/s of 100 bytes", "<= 5"

    def measure(self, session):
        """All recorders at once: on a quiet link they do not disturb one another, and each takes more than a minute."""
        stop = threading.Event()
        frames = [lab.udp4("10.1.0.%d" % i, "10.2.0.1", 30000 + i, 53, b"q" * 58) for i in range(20)]  # 100 bytes each
        sender = threading.Thread(target=bench.send_slowly, args=(frames, QUIET_FRAMES_PER_SECOND, stop))
        recorders = []
        try:
            for product in session.products():
                recorders += [bench.Recorder(product, session.directory, "--threads=1", "--blocks=128")
                              for _ in range(session.runs)]
            sender.start()
            lab.wait_for(lambda: all(complete(one) for one in recorders), 150, "a complete file of each recorder")
            return [{"product": one.product.name, **vars(one.stored(complete_only=True))} for one in recorders]
        finally:
            stop.set()
            for one in recorders:
                one.close()

    def value(self, run):
        return run["disk_bytes"] / run["frame_bytes"]

    def met(self, runs, row):
        return row["this"] <= 5

    def note(self, runs):
        return "one complete file and its index: %s" % for_both(runs, lambda name: "%d bytes for %d packets" % (
            median(of(runs, name, lambda run: run["disk_bytes"])), median(of(runs, name, lambda run: run["packets"]))))


class WritePath(Figure):
    what, unit, reach = "CPU without index, 1514-byte frames at full rate", "% of a core", "<= 3"

    def measure(self, session):
        return session.loads(2.5e9, ["--no_index"], "fixed", "--bytes", 1514)

    def value(self, run):
        return 100 * run["cpu_seconds_of_load"] / run["seconds"]

    def met(self, runs, row):
        return row["this"] <= 3

    def note(self, runs):
        return "writing %s; CPU per GB written, ms: %s" % (
            for_both(runs, lambda name: "%.2f GB/s (lost: %s)" % (
                median(of(runs, name, lambda run: run["disk_bytes"] / run["seconds"])) / 1e9,
                of(runs, name, lambda run: run["lost"]))),
            for_both(runs, lambda name: "%.1f" % median(
                of(runs, name, lambda run: 1e12 * run["cpu_seconds"] / run["disk_bytes"]))))


def complete(recorder):
    """Whether a file with packets and its index have their names."""
    names = os.listdir(recorder.directory + "/IDX0")
    return any(not name.startswith(".") for name in names) and recorder.stored(complete_only=True).packets > 0


FIGURES = {
    "P1": Loss("IMIX of 65,536 flows, one core's full rate", "imix"),
    "P2": Loss("60-byte SYN flood, random addresses, full rate", "flood", "--tcp"),
    "P3": CpuPerPacket(),
    **query_figures.FIGURES,
    **load_figures.FIGURES,
    "P9": Freshness(),
    "P10": QuietDisk(),
    "P12": WritePath(),
}


def machine(directory):
    with open("/proc/cpuinfo") as file:
        model = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), platform.machine())
    with open("/proc/meminfo") as file:
        memory = int(file.readline().split()[1]) * 1024
    file_system = lab.run(["findmnt", "-no", "FSTYPE", "-T", directory]).strip()
    return {"kernel": platform.release(), "cpu": model, "cores": os.cpu_count(), "memory_bytes": memory,
            "file_system": file_system, "disk_write_bytes_per_second": bench.disk_write_rate(directory)}


def machine_line(data, measured):
    rates = {}
    for number in ("P1", "P2", "P12"):  # those that send as fast as they can
        for run in measured.get(number, {}).get("runs", []):
            rates[run["traffic"]] = max(rates.get(run["traffic"], 0), run["pps"] / 1e6)
    return "machine: Linux %s, %s, %d cores, %.0f GB; %s, direct writes %.2f GB/s; source on one core: %s" % (
        data["kernel"], data["cpu"], data["cores"], data["memory_bytes"] / 1e9, data["file_system"],
        data["disk_write_bytes_per_second"] / 1e9,
        ", ".join("%s %.2f Mpps" % rate for rate in sorted(rates.items())) or "not measured")


def print_table(result):
    print(machine_line(result["machine"], result["figures"]))
    line = "%-4s %-54s %-11s %15s %13s %7s  %-15s %s"
    print(line % ("", "what", "unit", "incumbent", "this", "ratio", "reach", "met"))
    notes = []
    for number in FIGURES:
        figure = result["figures"].get(number, {})
        if "why" in figure:
            notes.append("%s not measured: %s" % (number, figure["why"]))
        elif figure:
            figure = FIGURES[number].row(figure["runs"])
            met = {True: "yes", False: "no", None: "-"}[figure["met"]]
            print(line % (number, figure["what"], figure["unit"], cell(figure["incumbent"]), cell(figure["this"]),
                          cell(figure["ratio"]), figure["reach"], met))
            notes.append("%s: %s" % (number, figure["note"]))
    print("\n".join(notes))


def parse():
    parser = argparse.ArgumentParser(description="Capture figures, side by side with the Debian package stenographer.")
    parser.add_argument("--only", default=",".join(FIGURES), help="figures to measure: P1,P3 (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="runs of each, of which the median counts")
    parser.add_argument("--seconds", type=int, default=10, help="length of a load")
    parser.add_argument("--pps", type=int, default=0, help="rate of P3; default: the highest that all hold")
    parser.add_argument("--store-packets", type=int, default=30_000_000, help="packets of the stores that are queried")
    parser.add_argument("--no-incumbent", action="store_true", help="measure this recorder alone")
    parser.add_argument("--pcaps", default=lab.SHARED_PCAPS, help="directory of captures, the real mix of P3")
    parser.add_argument("--json", default=os.path.join(bench.SOURCE, "build", "bench", "capture.json"), help="result")
    parser.add_argument("--add", action="store_true", help="add the runs to those that the result file has")
    parser.add_argument("--table", action="store_true", help="print the table of the result file and measure nothing")
    options = parser.parse_args()
    options.only = options.only.upper().split(",")
    unknown = [number for number in options.only if number not in FIGURES]
    if unknown:
        parser.error("--only %s: expected some of %s" % (",".join(unknown), ",".join(FIGURES)))
    return options


def measure(session, number, earlier):
    """The figure's row and runs, or why there are none."""
    print("%s: %s" % (number, FIGURES[number].what), file=sys.stderr, flush=True)
    if not isinstance(FIGURES[number], query_figures.OverStore):
        query_figures.drop_stores(session)
    try:
        runs = earlier + FIGURES[number].measure(session)
    except (Unmeasurable, AssertionError, RuntimeError) as problem:
        return {"why": str(problem)}
    return {**FIGURES[number].row(runs), "measured": time.strftime("%Y-%m-%d %H:%M:%S"), "runs": runs}


def read_result(path):
    with open(path) as file:
        return json.load(file)


def write_result(path, result):
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path, "w") as file:
        json.dump(result, file, indent=1)


def measure_all(options):
    bench.enter()
    session = Session(options)
    figures = read_result(options.json)["figures"] if options.add and os.path.exists(options.json) else {}
    for number in options.only:
        figures[number] = measure(session, number, figures.get(number, {}).get("runs", []))
    write_result(options.json, {"machine": machine(session.directory), "figures": figures})


def main():
    options = parse()
    if not options.table:
        if os.geteuid() != 0 or (os.cpu_count() or 1) < 2:
            print("capture figures: not measured: they need root (network namespaces, BPF) and two CPUs")
            return 0
        measure_all(options)
    print_table(read_result(options.json))
    return 0


if __name__ == "__main__":
    sys.exit(main())
