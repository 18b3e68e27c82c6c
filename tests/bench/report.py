"""report.py - what `make bench` measured, as a table for people, lines for programs, and plots."""

import json
import os
import platform
import statistics
import subprocess
import time

PACKAGES = {"nginx": "nginx-core", "lighttpd": "lighttpd", "varnishd": "varnish", "wrk": "wrk",
            "h2load": "nghttp2-client", "gnuplot": "gnuplot-nox"}

PLOTS = {"scale": ("Cost of a part and reader by readers", "readers", "us of CPU"),
         "puts": ("Cost of a durable PUT by objects stored", "objects", "us of CPU")}


def commit():
    done = subprocess.run(["git", "-C", os.path.dirname(os.path.abspath(__file__)), "describe", "--always",
                           "--dirty"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    return done.stdout.strip() or "not a clone"


def processor():
    with open("/proc/cpuinfo", encoding="ascii") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


class Row:
    def __init__(self, name, unit, rate_unit, targets):
        self.name, self.unit, self.rate_unit, self.targets = name, unit, rate_unit, targets
        self.samples = {}  # who -> list of (cost, rate, note)

    def cost(self, who):
        return statistics.median(sample[0] for sample in self.samples[who])

    def middle(self, who):
        """The sample whose cost is the median."""
        ordered = sorted(self.samples[who], key=lambda sample: sample[0])
        return ordered[len(ordered) // 2]

    def lines(self):
        yield f"{self.name}"
        yield f"    {'':24}{self.unit:>22}{'least-most':>20}{self.rate_unit:>14}   ours/theirs"
        for who, samples in self.samples.items():
            cost, rate, note = self.middle(who)
            costs = [sample[0] for sample in samples]
            ratio = ""
            if "spillway" in self.samples and who != "spillway" and cost > 0:
                ratio = f"{self.cost('spillway') / cost:.2f}"
            yield (f"    {who:24}{cost:22.3f}{f'{min(costs):.3f}-{max(costs):.3f}':>20}{rate:14.2f}"
                   f"   {ratio:6}  {note}")
        yield from self.verdicts()

    def verdicts(self):
        """TARGETS: (peer, highest ratio of our cost to its), or (limit, 1.0)."""
        for of, most in self.targets:
            if "spillway" not in self.samples or (isinstance(of, str) and of not in self.samples):
                continue
            ours = self.cost("spillway")
            limit = most * (self.cost(of) if isinstance(of, str) else of)
            word = "met" if ours <= limit else f"MISSED by {(ours / limit - 1) * 100:.0f}%"
            if "LAGS" in self.middle("spillway")[2]:
                word = "not comparable, the machine is too busy"
            what = f"{most:.2f} of {of}" if isinstance(of, str) else f"{of:g} {self.unit}"
            yield f"    target: at most {what}: {word}"


class Report:
    def __init__(self, folder, quick):
        self.folder, self.quick = folder, quick
        self.rows, self.points, self.remarks, self.missing = {}, {}, [], set()

    def has(self, program):
        """Whether PROGRAM is installed; says so once if not."""
        from peers import find
        if find(program):
            return True
        if program not in self.missing:
            self.missing.add(program)
            self.remark(f"{program} is not installed, its rows are left out "
                        f"(Debian: apt-get install {PACKAGES[program]})")
        return False

    def remark(self, text):
        self.remarks.append(text)
        print(f"  {text}", flush=True)

    def row(self, name, unit, rate_unit, targets):
        self.rows[name] = Row(name, unit, rate_unit, targets)
        return name

    def add(self, row, who, cost, rate, note=""):
        self.rows[row].samples.setdefault(who, []).append((cost, rate, note))

    def point(self, plot, curve, x, y):
        self.points.setdefault(plot, {}).setdefault(curve, []).append((x, y))

    def head(self):
        yield f"spillway {commit()}, {time.strftime('%Y-%m-%d %H:%M')}{', quick' if self.quick else ''}"
        yield (f"{processor()}, {os.cpu_count()} cores, Linux {platform.release()}, "
               f"load {os.getloadavg()[0]:.1f} at the end")
        yield "repeat with: make bench" + (" BENCH_QUICK=1" if self.quick else "")
        yield "medians of alternating rounds; cost is the server's user and system time"

    def text(self):
        lines = list(self.head())
        for row in self.rows.values():
            if row.samples:
                lines += ["", *row.lines()]
        if self.remarks:
            lines += ["", *self.remarks]
        return "\n".join(lines) + "\n"

    def plot(self, name):
        """NAME.svg, from NAME.dat."""
        title, xlabel, ylabel = PLOTS[name]
        with open(os.path.join(self.folder, name + ".dat"), "w", encoding="ascii") as file:
            for curve, points in self.points[name].items():
                file.write(f'"{curve}"\n' + "".join(f"{x} {y:.3f}\n" for x, y in points) + "\n\n")
        script = (f"set terminal svg size 720,440; set output '{name}.svg'; set title '{title}'; "
                  f"set xlabel '{xlabel}'; set ylabel '{ylabel}'; set logscale x; set yrange [0:*]; "
                  f"set key bottom right; plot for [i=0:{len(self.points[name]) - 1}] '{name}.dat' "
                  f"index i using 1:2 with linespoints title columnheader(1)")
        subprocess.run(["gnuplot", "-e", script], cwd=self.folder, check=True, timeout=60)

    def plot_bars(self, name, rows):
        """NAME.svg: the cost in ROWS of everybody, as a part of the dearest."""
        rows = [self.rows[row] for row in rows if row in self.rows and self.rows[row].samples]
        names = []
        for row in rows:
            names += [who for who in row.samples if who not in names]
        if not rows:
            return
        with open(os.path.join(self.folder, name + ".dat"), "w", encoding="ascii") as file:
            file.write("row " + " ".join(f'"{who}"' for who in names) + "\n")
            for row in rows:
                most = max(row.cost(who) for who in row.samples)
                cells = [f"{row.cost(who) / most:.3f}" if who in row.samples else "-" for who in names]
                file.write(f'"{row.name}" ' + " ".join(cells) + "\n")
        script = (f"set terminal svg size 720,440; set output '{name}.svg'; set style data histograms; "
                  f"set style fill solid 0.8; set title 'CPU, as a part of the dearest'; set datafile missing '-'; "
                  f"set yrange [0:1.3]; plot for [i=2:{len(names) + 1}] '{name}.dat' "
                  f"using i:xtic(1) title columnheader(i)")
        subprocess.run(["gnuplot", "-e", script], cwd=self.folder, check=True, timeout=60)

    def write(self):
        os.makedirs(self.folder, exist_ok=True)
        if self.has("gnuplot"):
            for name in self.points:
                self.plot(name)
            self.plot_bars("live", [row for row in self.rows if row.startswith("live ")])
            self.plot_bars("objects", [row for row in self.rows if row.startswith(("GET ", "PUT "))
                                       and "spillway" in self.rows[row].samples])
        text = self.text()
        with open(os.path.join(self.folder, "report.txt"), "w", encoding="utf-8") as file:
            file.write(text)
        with open(os.path.join(self.folder, "report.json"), "w", encoding="utf-8") as file:
            json.dump({row.name: row.samples for row in self.rows.values()}, file, indent=1)
        print(f"\n{text}\ntable and plots are in {os.path.abspath(self.folder)}")
