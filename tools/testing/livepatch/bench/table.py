#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Prints what livepatching costs on each core; writes it as JSON, and plots of it.

Usage: table.py ROWS.tsv FOLDER

The folder gets bench.json, functions.svg and tasks.svg, and table.rst for
Documentation/livepatch/performance.rst.

A row is: core, what was measured, and a number for each run. Runs may be spread over lines.
"""
import collections
import json
import math
import re
import statistics
import sys
from pathlib import Path

CORES = {"c": "C", "rust": "Rust"}

# Rows of calls are in tenths.
CALLS = {
    "fork": "fork, exit and wait, no patch is loaded",
    "unpatched": "call, not patched",
    "settled": "patched, all tasks have moved",
    "function_tracer": "the same, with the function tracer on it",
    "kprobe_disabled": "the same, with a kprobe that is disabled",
    "kprobe": "the same, with a kprobe",
    "fprobe": "the same, with an fprobe",
    "settled_again": "the same, when these have gone",
    "handler": "the same by the handler (livepatch.jump=0)",
    "stacked_4": "patched by 4 patches",
    "stacked_16": "patched by 16 patches",
    "nop_old_side": "being replaced by a nop, task has not moved",
    "nop_new_side": "being replaced by a nop, task has moved",
    "replaced": "replaced by nothing",
    "transition_old_side": "in transition, task has not moved",
    "transition_new_side": "in transition, task has moved",
    "unpatched_again": "not patched any more",
    "settled_others": "patched beside 10,000 other functions (C: 1,000)",
    "handler_others": "the same by the handler",
}

PARTS = {
    "load": "insmod to all tasks moved",
    "enable": "enable to all tasks moved",
    "enable.resolve": "  resolve",
    "enable.attach": "  attach",
    "enable.transition": "  transition",
    "enable.finish": "  finish",
    "enable.settle": "then make calls jump",
    "disable": "0 to directory gone",
    "disable.transition": "  transition",
    "disable.detach": "  detach, wait",
    "disable.gone": "  directory",
    "disable.unload": "then unload the module",
}

# Unit, pattern, name. The first that fits.
OTHERS = [
    ("ms", r"floor\.rcu", lambda m: "synchronize_rcu()"),
    ("ms", r"floor\.rcu_tasks", lambda m: "synchronize_rcu_tasks()"),
    ("ms", r"floor\.cpus", lambda m: "a work item on each CPU"),
    ("ms", r"floor\.attach\.(\d+)", lambda m: f"register_ftrace_function() for {m[1]}"),
    ("ms", r"floor\.detach\.(\d+)", lambda m: f"unregister_ftrace_function(), {m[1]}, with waits"),
    ("ms", r"small\.(.*)", lambda m: f"a patch of 1 function: {PARTS[m[1]]}"),
    ("ms", r"(module|vmlinux)\.(\d+)\.(.*)", lambda m: f"{m[2]} of {m[1]}: {PARTS[m[3]]}"),
    ("ms", r"tasks\.(\d+)x(\d+)\.(.*)", lambda m: f"{m[2]} functions, {m[1]} sleeping: {PARTS[m[3]]}"),
    ("ms", r"busy\.(\d+)\.(.*)", lambda m: f"{m[1]} functions, CPUs busy: {PARTS[m[2]]}"),
    ("ms", r"stall\.quiet", lambda m: "longest fork+exit+wait, 10,000 tasks"),
    ("ms", r"stall\.patching", lambda m: "the same while patches come and go"),
    ("ms", r"stack\.(\d+)\.(.*)", lambda m: f"{m[1]} patches, one by one: {PARTS[m[2]]}"),
    ("ms", r"replace\.(\d+)\.(.*)", lambda m: f"{m[1]} functions by {m[1]}: {PARTS[m[2]]}"),
    ("ms", r"load\.waiting\.(\d)", lambda m: f"load a module that {m[1]} patches wait for"),
    ("ms", r"load\.other\.(\d)", lambda m: f"load another module, {m[1]} patches wait"),
    ("ms", r"boot", lambda m: "boot, to the first process"),
    ("B", r"memory\.function", lambda m: "memory for one more patched function"),
    ("B", r"size\.(.*)", lambda m: f"the core's {m[1]}"),
]

SCALE = {"instructions": 10, "ms": 1000, "B": 1}

# Costs of n functions or tasks are n to this power; above this is a finding.
EXPONENT_MAX = 1.1
EXPONENTS = [
    (r"module\.(\d+)\.{}", "functions of a module", ("enable", "disable")),
    (r"vmlinux\.(\d+)\.{}", "functions of vmlinux", ("enable", "disable")),
    (r"tasks\.(\d+)x1\.{}", "tasks", ("enable", "disable")),
]


def describe(row):
    """Unit and name of a row."""
    if row in CALLS:
        return "instructions", CALLS[row]
    for unit, pattern, name in OTHERS:
        if match := re.fullmatch(pattern, row):
            return unit, name(match)
    sys.exit(f"table.py: no name for the row '{row}'")


def read(path):
    """Row to core to values, in the unit of the row."""
    costs = collections.defaultdict(lambda: collections.defaultdict(list))
    for line in Path(path).read_text().splitlines():
        core, row, *runs = line.split("\t")
        scale = SCALE[describe(row)[0]]
        costs[row][core] += [int(run) / scale for run in runs]
    return costs


def number(value, unit):
    """As many digits as say something."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if unit == "B" or value >= 1000 else f"{value:,.1f}"


def medians(costs):
    """Unit, name, median of each core or None, and their ratio, of each row."""
    for row, of_core in costs.items():
        unit, name = describe(row)
        c, rust = (statistics.median(of_core[core]) if core in of_core else None for core in CORES)
        ratio = f"{rust / c:.3g}" if c and rust is not None else "-"
        yield unit, name, number(c, unit), number(rust, unit), ratio


def table(costs):
    """For people at a terminal."""
    print(f"{'median of all runs':<56} {'C':>9} {'Rust':>9} {'Rust : C':>9} {'unit':>13}")
    for unit, name, c, rust, ratio in medians(costs):
        print(f"{name:<56} {c:>9} {rust:>9} {ratio:>9} {unit:>13}")


def rst(costs):
    """For the documentation: one table for each unit."""
    lines = []
    for wanted in SCALE:
        lines += ["", ".. csv-table::", f'   :header: "{wanted}", "C", "Rust", "Rust : C"', ""]
        for unit, name, c, rust, ratio in medians(costs):
            if unit == wanted:
                name = " ".join(name.split())
                lines.append(f'   "{name}", "{c}", "{rust}", "{ratio}"')
    return "\n".join(lines) + "\n"


def series(costs, pattern, core):
    """Points (n, median) of the rows that fit."""
    found = []
    for row, of_core in costs.items():
        match = re.fullmatch(pattern, row)
        if match and core in of_core:
            found.append((int(match[1]), statistics.median(of_core[core])))
    return sorted(found)


def exponents(costs):
    """For each series and core: cost ~ n ** exponent between its two largest n."""
    found = []
    for pattern, what, operations in EXPONENTS:
        for operation in operations:
            for core, name in CORES.items():
                points = series(costs, pattern.format(operation), core)
                # Small ones are what it costs to do anything at all.
                if len(points) < 2 or points[-2][1] <= 0:
                    continue
                (n, t), (m, u) = points[-2:]
                found.append({
                    "core": core,
                    "what": f"{operation}, {what}",
                    "exponent": math.log(u / t) / math.log(m / n),
                })
                print(f"{name + ': ' + operation + ', ' + what + f', {n:,} to {m:,}':<56} "
                      f"{'n **':>9} {found[-1]['exponent']:>9.2f}"
                      f"{'  more than linear' if found[-1]['exponent'] > EXPONENT_MAX else ''}")
    return found


def plot(costs, folder):
    """SVG files: cost against functions, cost against tasks."""
    import matplotlib

    matplotlib.use("svg")
    # The same input gives the same file.
    matplotlib.rcParams["svg.hashsalt"] = "klp-bench"
    # Text as text, not as curves.
    matplotlib.rcParams["svg.fonttype"] = "none"
    from matplotlib import pyplot

    for name, label, lines in (
        ("functions", "functions in the patch", [(r"module\.(\d+)\.enable", "enable"), (r"module\.(\d+)\.disable", "disable")]),
        ("tasks", "sleeping tasks", [(r"tasks\.(\d+)x1\.enable", "enable 1 function"), (r"tasks\.(\d+)x1000\.enable", "enable 1000 functions")]),
    ):
        curves = [
            (f"{CORES[core]}: {operation}", style, points)
            for pattern, operation in lines
            for core, style in (("c", "--"), ("rust", "-"))
            if (points := series(costs, pattern, core))
        ]
        if not curves:
            continue
        figure, axes = pyplot.subplots(figsize=(6.4, 4.2))
        for curve, style, points in curves:
            axes.plot(*zip(*points), style, marker="o", label=curve)
        axes.set(xscale="log", yscale="log", xlabel=label, ylabel="milliseconds")
        axes.minorticks_off()
        axes.grid(True, which="major", linewidth=0.3)
        axes.legend()
        figure.tight_layout()
        file = folder / f"{name}.svg"
        figure.savefig(file, metadata={"Date": None})
        pyplot.close(figure)
        # As files in a kernel tree should be.
        file.write_text(re.sub(r"[ \t]+$", "", file.read_text(), flags=re.MULTILINE))


def main(rows, folder):
    """Prints and writes all of it."""
    folder = Path(folder)
    costs = read(rows)
    table(costs)
    fitted = exponents(costs)
    (folder / "bench.json").write_text(json.dumps({
        "rows": [
            {"row": row, "unit": describe(row)[0], "what": describe(row)[1].strip(), "runs": of_core}
            for row, of_core in costs.items()
        ],
        "exponents": fitted,
    }, indent=1) + "\n")
    (folder / "table.rst").write_text(rst(costs))
    plot(costs, folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
