#!/usr/bin/env python3
"""The figures of capturing, side by side with the Debian package `stenographer` where that is installed.

    bench/run capture [--only P1,P3] [--runs N] [--seconds N] [--pps N] [--no-incumbent] [--json FILE] [--add] [--pcaps DIR]

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
from capture_lab import Unmeasurable, lab, median

MIX_RATES = [1_000_000, 800_000, 600_000, 450_000, 300_000, 200_000, 100_000]
STORED_BYTES_PER_SMALL_FRAME = 144  # with its headers (docs/FORMAT.md)
QUIET_FRAMES_PER_SECOND = 10


class Session:
    """The options, the products and the directory of one run of this program."""

    def __init__(self, options):
        self.runs, self.seconds, self.pps = options.runs, options.seconds, options.pps
        self.this = bench.this_product()
        self.incumbent = None if options.no_incumbent else bench.incumbent_product()
        self.directory = bench.make_directory()
        self.pcaps = sorted(path for path in glob.glob(options.pcaps + "/**", recursive=True) if os.path.isfile(path))
        self.source_pps = {}

    def products(self):
        return [product for product in (self.incumbent, self.this) if product]

    def mix(self):
        """The real mix, or what stands for it where there are no captures."""
        return ("pcap", "--pcap", *self.pcaps) if self.pcaps else ("imix",)

    def load(self, product, flags, kind, *options):
        run = bench.measure_load(product, self.directory, flags, kind, "--seconds", self.seconds, *options)
        self.source_pps[kind] = max(run["pps"], self.source_pps.get(kind, 0))
        return run


class Figure:
    """A row of the table, and the runs behind it. Numbers: in the unit that `what` names; None where not measured."""

    def __init__(self, what, reach, unit="", note=""):
        self.what, self.reach, self.unit, self.note = what, reach, unit, note
        self.incumbent = self.this = self.ratio = self.met = None
        self.runs = []

    def of_runs(self, runs, value):
        """Fills both columns with the medians of `value(run)`."""
        self.runs = runs
        for name in ("incumbent", "this"):
            values = [value(run) for run in runs if run["product"] == name]
            setattr(self, name, median(values) if values else None)
        self.ratio = self.this / self.incumbent if self.this is not None and self.incumbent else None

    def as_json(self):
        return {"what": self.what, "unit": self.unit, "incumbent": self.incumbent, "this": self.this, "ratio": self.ratio,
                "reach": self.reach, "met": self.met, "note": self.note, "measured": time.strftime("%Y-%m-%d %H:%M:%S"),
                "runs": self.runs}


def loss(session, what, kind, *options):
    bench.require_space(session.directory, 2e6 * 700 * session.seconds)
    runs = [session.load(product, [], kind, *options) for _ in range(session.runs) for product in session.products()]
    figure = Figure(what, "0 in every run", "%")
    figure.of_runs(runs, lambda run: 100 * run["lost"] / run["sent"])
    ours = [run for run in runs if run["product"] == "this"]
    figure.met = all(run["lost"] == 0 for run in ours)
    figure.note = "lost in each run: this %s; it counts %s; source %.2f Mpps" % (
        [run["lost"] for run in ours], [run["counted_drops"] for run in ours], median([run["pps"] for run in ours]) / 1e6)
    return figure


def p1(session):
    return loss(session, "lost, IMIX of 65,536 flows, one core's full rate", "imix")


def p2(session):
    return loss(session, "lost, 60-byte SYN flood, random addresses, full rate", "flood", "--tcp")


def held_rate(session):
    """The highest rate that the source reaches and every product records without loss."""
    for rate in [session.pps] if session.pps else MIX_RATES:
        runs = [bench.measure_load(product, session.directory, [], *session.mix(), "--seconds", 3, "--pps", rate)
                for product in session.products()]
        if all(run["lost"] == 0 and run["pps"] > 0.97 * rate for run in runs):
            return rate
    raise Unmeasurable("no rate down to %d/s that the source reaches and all hold without loss" % rate)


def p3(session):
    bench.require_space(session.directory, 1e6 * 500 * session.seconds)
    rate = held_rate(session)
    runs = [session.load(product, [], *session.mix(), "--pps", rate)
            for _ in range(session.runs) for product in session.products()]
    figure = Figure("recorder CPU per packet, real mix, equal rate", "ratio <= 0.2", "ns")
    figure.of_runs(runs, lambda run: 1e9 * run["cpu_seconds"] / run["stored"])
    figure.met = figure.ratio <= 0.2 if figure.ratio else None
    figure.note = "at %d packets/s%s, of %.0f bytes; lost %s; until its end, files and indexes complete: %s ns" % (
        rate, "" if session.pcaps else " (IMIX: there are no captures)", runs[0]["bytes"] / runs[0]["sent"],
        [run["lost"] for run in runs],
        " and ".join("%s %.0f" % (product.name, median([1e9 * run["cpu_seconds_to_end"] / run["stored"]
                                                        for run in runs if run["product"] == product.name]))
                     for product in session.products()))
    return figure


def p12(session):
    bench.require_space(session.directory, 1e6 * 1600 * session.seconds)
    runs = [session.load(product, ["--no_index"], "fixed", "--bytes", 1514)
            for _ in range(session.runs) for product in session.products()]
    for run in runs:
        run["stored_bytes_per_second"] = run["disk_bytes"] / (run["seconds"] + run["drained_after"])
    figure = Figure("CPU without index, 1514-byte frames, full rate", "<= 3", "% of a core")
    figure.of_runs(runs, lambda run: 100 * run["cpu_seconds"] / (run["seconds"] + run["drained_after"]))
    figure.met = figure.this <= 3
    figure.note = "writing %s" % ", ".join(
        "%s %.2f GB/s (lost %.1f %%)" % (
            product.name, median([run["stored_bytes_per_second"] for run in runs if run["product"] == product.name]) / 1e9,
            median([100 * run["lost"] / run["sent"] for run in runs if run["product"] == product.name]))
        for product in session.products())
    return figure


def p9(session):
    figure = Figure("wire to query, median on a busy / on a quiet link", "< 1 / < 2", "s")
    runs = []
    for product in session.products():
        for link in ("busy", "quiet"):
            waits = freshness.measure(product, session.directory, link)
            runs.append({"product": product.name, "link": link, "seconds": waits})
            print("  %-9s %s link: %s s" % (product.name, link, waits), file=sys.stderr, flush=True)
    figure.runs = runs

    def column(name):
        found = [median(run["seconds"]) for run in runs if run["product"] == name]
        return "%.2f / %.2f" % tuple(found) if found else None
    figure.incumbent, figure.this = column("incumbent"), column("this")
    ours = {run["link"]: run["seconds"] for run in runs if run["product"] == "this"}
    figure.met = max(ours["busy"]) < 1 and max(ours["quiet"]) < 2
    figure.note = "at worst %.2f / %.2f of %d; busy: %d packets/s IMIX, quiet: %d/s; %d s is the longest that is waited" % (
        max(ours["busy"]), max(ours["quiet"]), len(ours["busy"]), freshness.BUSY_PPS, freshness.QUIET_PPS, freshness.LIMIT)
    return figure


def p10(session):
    """All recorders at once: on a quiet link they do not disturb one another, and each run takes more than a minute."""
    stop = threading.Event()
    frames = [lab.udp4("10.1.0.%d" % i, "10.2.0.1", 30000 + i, 53, b"q" * 58) for i in range(20)]  # 100 bytes each
    sender = threading.Thread(target=bench.send_slowly, args=(frames, QUIET_FRAMES_PER_SECOND, stop))
    recorders = []
    try:
        for product in session.products():
            recorders += [bench.Recorder(product, session.directory, "--threads=1", "--blocks=64")
                          for _ in range(session.runs)]
        sender.start()
        lab.wait_for(lambda: all(complete(one) for one in recorders), 150, "a complete file of each recorder")
        runs = []
        for one in recorders:
            stored = one.stored(complete_only=True)
            runs.append({"product": one.product.name, "packets": stored.packets, "frame_bytes": stored.frame_bytes,
                         "disk_bytes": stored.disk_bytes, "index_bytes": stored.index_bytes, "files": stored.files})
    finally:
        stop.set()
        for one in recorders:
            one.close()
    figure = Figure("disk bytes per captured byte, 10 packets/s of 100 bytes", "<= 5", "")
    figure.of_runs(runs, lambda run: run["disk_bytes"] / run["frame_bytes"])
    figure.met = figure.this <= 5
    figure.note = "complete files and indexes of %d packets" % runs[-1]["packets"]
    return figure


def complete(recorder):
    """Whether a file with packets and its index have their names."""
    names = os.listdir(recorder.directory + "/IDX0")
    return any(not name.startswith(".") for name in names) and recorder.stored(complete_only=True).packets > 0


FIGURES = {"P1": p1, "P2": p2, "P3": p3, "P9": p9, "P10": p10, "P12": p12}


def machine(directory):
    with open("/proc/cpuinfo") as file:
        model = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), platform.machine())
    with open("/proc/meminfo") as file:
        memory = int(file.readline().split()[1]) * 1024
    mount = lab.run(["findmnt", "-no", "FSTYPE", "-T", directory]).strip()
    return {"kernel": platform.release(), "cpu": model, "cores": os.cpu_count(), "memory_bytes": memory, "file_system": mount,
            "disk_write_bytes_per_second": bench.disk_write_rate(directory), "source_pps": {}}


def machine_line(data):
    rates = ", ".join("%s %.2f" % (kind, pps / 1e6) for kind, pps in sorted(data["source_pps"].items()))
    return "machine: Linux %s, %s, %d cores, %.0f GB; %s, direct writes %.2f GB/s; source on one core, Mpps: %s" % (
        data["kernel"], data["cpu"], data["cores"], data["memory_bytes"] / 1e9, data["file_system"],
        data["disk_write_bytes_per_second"] / 1e9, rates or "not measured")


def cell(value):
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    return "0" if value == 0 else "%.3g" % value if abs(value) < 1000 else "%.0f" % value


def print_table(result):
    print(machine_line(result["machine"]))
    row = "%-4s %-54s %11s %14s %14s %7s %-15s %s"
    print(row % ("", "what", "unit", "incumbent", "this", "ratio", "reach", "met"))
    notes = []
    for number in FIGURES:
        figure = result["figures"].get(number)
        if not figure:
            continue
        if figure.get("why"):
            notes.append("%s not measured: %s" % (number, figure["why"]))
            continue
        met = {True: "yes", False: "no", None: "-"}[figure["met"]]
        print(row % (number, figure["what"], figure["unit"], cell(figure["incumbent"]), cell(figure["this"]),
                     cell(figure["ratio"]), figure["reach"], met))
        if figure["note"]:
            notes.append("%s: %s" % (number, figure["note"]))
    print("\n".join(notes))


def parse():
    parser = argparse.ArgumentParser(description="Capture figures, side by side with the Debian package stenographer.")
    parser.add_argument("--only", default=",".join(FIGURES), help="figures to measure: P1,P3 (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="runs of each, of which the median counts")
    parser.add_argument("--seconds", type=int, default=10, help="length of a load")
    parser.add_argument("--pps", type=int, default=0, help="rate of P3; default: the highest that all hold")
    parser.add_argument("--no-incumbent", action="store_true", help="measure this recorder alone")
    parser.add_argument("--pcaps", default=lab.SHARED_PCAPS, help="directory of captures, the real mix of P3")
    parser.add_argument("--json", default=os.path.join(bench.SOURCE, "build", "bench", "capture.json"), help="result")
    parser.add_argument("--add", action="store_true", help="keep the figures of the result file that are not measured now")
    options = parser.parse_args()
    options.only = options.only.upper().split(",")
    unknown = [number for number in options.only if number not in FIGURES]
    if unknown:
        parser.error("--only %s: expected some of %s" % (",".join(unknown), ",".join(FIGURES)))
    return options


def measure(session, number):
    print("%s: %s" % (number, "this and the incumbent" if session.incumbent else "this alone"), file=sys.stderr, flush=True)
    try:
        return FIGURES[number](session).as_json()
    except (Unmeasurable, AssertionError, RuntimeError) as problem:
        return {"why": str(problem)}


def main():
    options = parse()
    if os.geteuid() != 0 or (os.cpu_count() or 1) < 2:
        print("capture figures: not measured: they need root (network namespaces, BPF) and two CPUs")
        return 0
    bench.enter()
    session = Session(options)
    result = {"machine": machine(session.directory), "figures": {}}
    if options.add and os.path.exists(options.json):
        with open(options.json) as file:
            earlier = json.load(file)
        result["figures"] = earlier["figures"]
        session.source_pps = earlier["machine"]["source_pps"]
    for number in options.only:
        result["figures"][number] = measure(session, number)
    result["machine"]["source_pps"] = session.source_pps
    os.makedirs(os.path.dirname(os.path.abspath(options.json)), exist_ok=True)
    with open(options.json, "w") as file:
        json.dump(result, file, indent=1)
    print_table(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
