"""The figures of queries: both products answer the same questions over a store of the same traffic, each with its own files."""
import glob
import random
import shutil
import sys
import threading

import capture_lab as bench
import query_lab
from capture_lab import lab, median
from figure import Figure, for_both, of

EVERYTHING = "before 2106-12-31T00:00:00Z"
STORE_PPS = 500_000  # which both record without loss
IMPATIENCE = 60  # seconds that a query of the incumbent gets, and for those that it does not end
ANALYSTS = 10
P11_SECONDS = 120


def server(session, product):
    """The product's server over its store, both made when first asked for."""
    if product.name not in session.stores:
        store = query_lab.record_store(product, session.directory, session.pps or STORE_PPS, session.store_packets, session.mix())
        make = query_lab.ThisServer if product.name == "this" else query_lab.IncumbentStore
        session.stores[product.name] = make(store)
    return session.stores[product.name]


def give_up(session, product):
    """Ends the server: the incumbent goes on with queries whose clients have left, on the CPU that the next one needs."""
    old = session.stores[product.name]
    old.close()
    session.stores[product.name] = type(old)(old.store)


def drop_stores(session):
    for made in session.stores.values():
        made.close()
        shutil.rmtree(made.store, True)
    session.stores.clear()


def tell(run):
    print("  %-9s %s: %.3f s, %d bytes%s" % (run["product"], run["query"], run["seconds"], run["bytes"],
                                             "" if run["complete"] else ", not complete"), file=sys.stderr, flush=True)
    return run


class OverStore(Figure):
    """A figure that asks the servers over the stores; before any other these are given up."""


class Query(OverStore):
    """One query, with everything in the page cache or with nothing."""
    unit, reach = "s", "-"

    def __init__(self, query, cold=False):
        self.query, self.cold, self.what = query, cold, "`%s`, %s" % (query, "cold" if cold else "warm")

    def measure(self, session):
        runs = []
        for product in session.products():
            asked = server(session, product)
            first = None if self.cold else query_lab.ask(asked, self.query, IMPATIENCE)
            if first and not first["complete"]:
                runs.append(tell(first))
                give_up(session, product)
                continue
            for _ in range(session.runs):
                if self.cold:
                    query_lab.drop_caches()
                runs.append(tell(query_lab.ask(asked, self.query, IMPATIENCE)))
                if not runs[-1]["complete"]:
                    give_up(session, product)
                    break
        return runs

    def value(self, run):
        return run["seconds"]

    def met(self, runs, row):
        return None

    def note(self, runs):
        return for_both(runs, lambda name: "%.3f to %.3f s for %.1f MB%s" % (
            min(of(runs, name, self.value)), max(of(runs, name, self.value)), median(of(runs, name, lambda run: run["bytes"])) / 1e6,
            "" if all(of(runs, name, lambda run: run["complete"])) else " (given up: no whole answer in that time)"))


class WithinBytes(Query):
    reach = "<= 0.5 s + 1 GB/s"

    def met(self, runs, row):
        return all(of(runs, "this", lambda run: run["seconds"] <= 0.5 + run["bytes"] / 1e9))


class Within(Query):
    def __init__(self, query, seconds):
        super().__init__(query)
        self.seconds, self.reach = seconds, "<= %.1f s" % seconds

    def met(self, runs, row):
        return row["this"] <= self.seconds


class WithinRatio(Query):
    def __init__(self, query, cold, ratio):
        super().__init__(query, cold)
        self.ratio, self.reach = ratio, "ratio <= %.1f" % ratio

    def met(self, runs, row):
        return row["ratio"] <= self.ratio if row["ratio"] else None


class Export(OverStore):
    """Everything there is, from this server alone: the incumbent has no such query."""
    unit = "GB/s"

    def __init__(self, what, reach, tls=False):
        self.what, self.reach, self.tls = what, reach, tls

    def measure(self, session):
        asked = server(session, session.this)
        query_lab.fill_page_cache(packet_files(asked))  # exports do not: they read past it
        return [tell(query_lab.ask(asked, EVERYTHING, tls=self.tls)) for _ in range(session.runs)]

    def value(self, run):
        return run["bytes"] / run["seconds"] / 1e9

    def met(self, runs, row):
        return row["this"] >= 1

    def note(self, runs):
        return "%.1f GB of pcap; %s" % (runs[0]["bytes"] / 1e9, ", ".join("%.2f" % self.value(run) for run in runs))


def packet_files(asked):
    return sorted(glob.glob(asked.lab.root + "/pkt0/[0-9]*"))


class ColdExport(Export):
    def measure(self, session):
        asked = server(session, session.this)
        runs = []
        for _ in range(session.runs):
            query_lab.drop_caches()
            disk = query_lab.sequential_read_rate(packet_files(asked))
            query_lab.drop_caches()
            runs.append(tell({**query_lab.ask(asked, EVERYTHING), "disk": disk}))
        return runs

    def share(self, runs):
        return median([run["bytes"] / run["seconds"] / run["disk"] for run in runs])

    def met(self, runs, row):
        return self.share(runs) >= 0.7

    def note(self, runs):
        return "%.2f of the disk's sequential %.2f GB/s" % (self.share(runs), median([run["disk"] for run in runs]) / 1e9)


class UnderQueries(Figure):
    what, unit, reach = "80 % of the source's rate, while everything is exported", "% lost", "0"

    def measure(self, session):
        bench.require_space(session.directory, 30e9)  # a query holds the files that it reads while they are deleted
        full = bench.measure_load(session.this, session.directory, [], "imix", "--seconds", 5)
        seconds = P11_SECONDS if session.seconds >= 10 else session.seconds
        flags = [flag for flag in bench.RING_FLAGS if not flag.startswith("--threads")]
        with lab.Lab(directory=bench.tempfile.mkdtemp(prefix="export-", dir=session.directory),
                     flags=[*flags, "--filesize_mb=1024"], thread_settings={"MaxDirectoryFiles": 8}) as one:
            return [load_under_queries(one, int(0.8 * full["pps"]), seconds)]

    def value(self, run):
        return 100 * run["lost"] / run["sent"]

    def met(self, runs, row):
        return row["this"] == 0

    def note(self, runs):
        run = runs[0]
        return "%.2f Mpps of IMIX for %d s, %d lost; exports: %d whole, %.1f GB in all; %d queries of %d analysts" % (
            run["pps"] / 1e6, run["seconds"], run["lost"], run["exports"], run["exported"] / 1e9, run["queries"], ANALYSTS)


class Asked:
    """A server of the lab, for query_lab.ask()."""
    name = "this"

    def __init__(self, one):
        self.lab = one

    curl = query_lab.ThisServer.curl


def load_under_queries(one, pps, seconds):
    """The load, with one client that exports everything again and again and others that ask for this and that. They are on
    the recorder's CPU: the source needs all of its own."""
    asked, stop = Asked(one), threading.Event()
    totals = {"exports": 0, "exported": 0, "queries": 0}
    lock = threading.Lock()

    def export():
        while not stop.is_set():
            answer = query_lab.ask(asked, EVERYTHING, seconds, bench.RECORDER_CPU)
            with lock:
                totals["exports"] += answer["complete"]
                totals["exported"] += answer["bytes"]

    def analyse(seed):
        chance = random.Random(seed)
        while not stop.is_set():
            host = "10.%d.%d.%d" % tuple(chance.randrange(256) for _ in range(3))
            query = chance.choice(["host %s" % host, "net %s/16 and port 53" % host, "port %d" % chance.randrange(1024, 65536),
                                   "host %s and not port 55" % host, "udp and portrange 57-59 and net %s/20" % host])
            query_lab.ask(asked, query, seconds, bench.RECORDER_CPU)
            with lock:
                totals["queries"] += 1

    source = bench.Traffic("imix", "--pps", pps, "--seconds", seconds)
    clients = [threading.Thread(target=export, daemon=True)]
    clients += [threading.Thread(target=analyse, args=(seed,), daemon=True) for seed in range(ANALYSTS)]
    for client in clients:
        client.start()
    report = source.result(one.root)
    stop.set()
    one.wait_stored(report["sent"], 60)
    run = {"product": "this", "traffic": "imix", "pps": report["pps"], "seconds": report["seconds"], "sent": report["sent"],
           "lost": report["sent"] - one.counter("stored_packets"), "counted": one.lost(), **totals}
    print("  this      %s" % run, file=sys.stderr, flush=True)
    for client in clients:
        client.join(seconds + 5)
    return run


FIGURES = {
    "P7": WithinBytes("net 10.0.0.0/8 and tcp and port 443"),
    "P8": WithinRatio("udp and port 53", False, 0.2),
    "P8C": WithinRatio("udp and port 53", True, 0.3),
    "Q1": Query("host 0.0.0.1", cold=True),
    "Q2": Query("port 65432", cold=True),
    "Q3": Query("host 10.0.0.1 and port 53"),
    "Q4": Query("host 10.0.0.1 and port 53", cold=True),
    "Q5": Query("icmp"),
    "Q6": Query("icmp", cold=True),
    "Q7": Within("net 0.0.0.0/0 and port 65431", 0.5),
    "E1": Export("export of everything, page cache, Unix socket", ">= 1"),
    "E2": Export("export of everything, page cache, TLS", ">= 1", tls=True),
    "E3": ColdExport("export of everything, cold, Unix socket", ">= 0.7 of disk"),
    "P11": UnderQueries(),
}
