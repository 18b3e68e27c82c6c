"""flat.py - what `make soak` sampled: whether each line is flat, as a table and as plots.

The rule: through the second half of the run lies a straight line, of the median slope of all pairs of samples
(Theil and Sen), so that a burst of the machine's other users is no trend. A line is flat if it rises along that half
by no more than its share of its mean, or by no more than a floor below which nobody cares. What falls is flat.
"""

import itertools
import os
import shutil
import statistics
import subprocess

PANELS = (("memory", "catalog"), ("disk", "disk beyond"), ("descriptors", "volumes"), ("read p50", "read p99"))


class Line:
    """One thing that is sampled. SHARE of the mean and FLOOR, in UNIT, bound its rise; without them it is only told."""

    def __init__(self, name, unit, share=None, floor=None):
        self.name, self.unit, self.share, self.floor = name, unit, share, floor
        self.samples = []  # (seconds, value)

    def add(self, at, value):
        self.samples.append((at, value))

    def half(self):
        """The samples of the second half."""
        middle = self.samples[-1][0] / 2
        return [sample for sample in self.samples if sample[0] >= middle]

    def rise(self):
        """By how much the line rises along the second half."""
        samples = self.half()
        slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in itertools.combinations(samples, 2)]
        return statistics.median(slopes) * (samples[-1][0] - samples[0][0]) if slopes else 0.0

    def mean(self):
        return statistics.fmean(value for _, value in self.half())

    def limit(self):
        return max(self.share * self.mean(), self.floor)

    def is_flat(self):
        return self.share is None or self.rise() <= self.limit()

    def row(self):
        values = [value for _, value in self.samples]
        quarter = values[len(values) // 4:len(values) // 2] or values
        text = (f"{self.name:14}{self.unit:6}{statistics.fmean(quarter):12.3f}{self.mean():12.3f}"
                f"{min(values):12.3f}{max(values):12.3f}{self.rise():+12.3f}")
        if self.share is None:
            return text + f"{'':12}  told only"
        return text + f"{self.limit():12.3f}  {'flat' if self.is_flat() else 'NOT FLAT'}"


HEAD = (f"{'line':14}{'unit':6}{'2nd quarter':>12}{'2nd half':>12}{'least':>12}{'most':>12}"
        f"{'rise':>12}{'limit':>12}  verdict")


class Lines:
    """All of them, and the file that they are written to as they come."""

    def __init__(self, folder, lines):
        self.folder = folder
        self.lines = {line.name: line for line in lines}
        os.makedirs(folder, exist_ok=True)
        self.file = open(os.path.join(folder, "samples.tsv"), "w", encoding="ascii")
        self.file.write("\t".join(["seconds", *self.lines]) + "\n")

    def add(self, at, values):
        """VALUES: name -> value. One that is not known now is left out."""
        for name, value in values.items():
            if value is not None:
                self.lines[name].add(at, value)
        cells = ["" if values.get(name) is None else f"{values[name]:.4f}" for name in self.lines]
        self.file.write("\t".join([f"{at:.1f}", *cells]) + "\n")
        self.file.flush()

    def judged(self):
        return [line for line in self.lines.values() if len(line.samples) >= 8]

    def table(self):
        return [HEAD, *(line.row() for line in self.judged())]

    def complaints(self):
        """Why this run shows nothing, or shows something bad; empty if all is flat."""
        short = [line.name for line in self.lines.values() if len(line.samples) < 8]
        return ([f"too few samples of: {', '.join(short)}"] if short else []) + [
            f"{line.name} rises by {line.rise():.3f} {line.unit} in half the time, and {line.limit():.3f} is the limit"
            for line in self.judged() if not line.is_flat()]

    def plot(self):
        """soak.svg, if gnuplot is there; returns what was made, or why not."""
        self.file.close()
        if not shutil.which("gnuplot"):
            return "no plot: gnuplot is not installed (Debian: apt-get install gnuplot-nox)"
        column = {name: number + 2 for number, name in enumerate(self.lines)}
        script = ["set terminal svg size 900,760", "set output 'soak.svg'", "set datafile separator '\\t'",
                  "set multiplot layout 4,1", "set key top left horizontal", "set xrange [0:*]"]
        for names in PANELS:
            units = ", ".join(dict.fromkeys(self.lines[name].unit for name in names if self.lines[name].unit))
            script += [f"set ylabel '{units}'", "set yrange [0:*]",
                       "plot " + ", ".join(f"'samples.tsv' using ($1/60):{column[name]} skip 1 with lines "
                                           f"title '{name}'" for name in names)]
        subprocess.run(["gnuplot", "-e", "; ".join(script)], cwd=self.folder, check=True, timeout=60)
        return "plot: soak.svg"
