"""A row of the benchmark's table, and how its cells are made from runs: dictionaries that name their "product"."""
from capture_lab import median


def of(runs, product, value):
    """value(run) of each run of a product."""
    return [value(run) for run in runs if run["product"] == product]


def for_both(runs, text):
    """text(name) for each product that has runs: "incumbent ..., this ..."."""
    return ", ".join("%s %s" % (name, text(name)) for name in ("incumbent", "this") if of(runs, name, len))


class Figure:
    """A row of the table: how to measure it (runs), and what the runs mean (columns, whether the reach is met, a note)."""
    what = unit = reach = ""

    def measure(self, session):
        raise NotImplementedError

    def value(self, run):
        """A run's figure, in the unit."""
        raise NotImplementedError

    def met(self, runs, row):
        raise NotImplementedError

    def note(self, runs):
        raise NotImplementedError

    def columns(self, runs):
        medians = {name: median(of(runs, name, self.value)) if of(runs, name, len) else None
                   for name in ("incumbent", "this")}
        ratio = medians["this"] / medians["incumbent"] if medians["this"] is not None and medians["incumbent"] else None
        return {**medians, "ratio": ratio}

    def row(self, runs):
        row = {"what": self.what, "unit": self.unit, "reach": self.reach, **self.columns(runs)}
        return {**row, "met": self.met(runs, row), "note": self.note(runs)}


def cell(value):
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    return "0" if value == 0 else "%.3g" % value if abs(value) < 1000 else "%.0f" % value
