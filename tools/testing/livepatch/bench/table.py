#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Prints what a call costs on each core, and writes it as JSON.

Usage: table.py ROWS.tsv OUT.json

A row is: core, what was measured, and a number of tenths of an instruction for each run.
"""
import json
import statistics
import sys
from pathlib import Path

NAMES = {
    "unpatched": "not patched",
    "settled": "patched, all tasks have moved",
    "function_tracer": "the same, with the function tracer on it",
    "kprobe_disabled": "the same, with a kprobe that is disabled",
    "kprobe": "the same, with a kprobe",
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
}


def main(rows, out):
    costs = {}
    for line in Path(rows).read_text().splitlines():
        core, name, *runs = line.split("\t")
        costs.setdefault(name, {})[core] = [int(run) / 10 for run in runs]

    print(f"{'instructions for a call, median':<48} {'C':>8} {'Rust':>8} {'Rust : C':>9}")
    for name, of_core in costs.items():
        c, rust = (statistics.median(of_core[core]) for core in ("c", "rust"))
        print(f"{NAMES.get(name, name):<48} {c:>8.1f} {rust:>8.1f} {rust / c:>9.2f}")
    Path(out).write_text(json.dumps({"unit": "instructions for a call", "runs": costs}, indent=1))


if __name__ == "__main__":
    main(*sys.argv[1:])
