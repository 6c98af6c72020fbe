#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Checks the ordering rules of the livepatch core against the memory model of the kernel.
set -euo pipefail
export LC_ALL=C

usage() {
	cat <<EOF
Usage: run.sh [--herd PATH] [--only GLOB] [--jobs N] KERNEL_TREE

Runs herd7 with the memory model of KERNEL_TREE (tools/memory-model) on every
litmus test beside this script and compares what it finds with the result that
the test's comment expects. NAME.litmus is a rule of the core, with
everything that orders it; NAME+no-WHAT.litmus is the same without WHAT.

  --herd PATH  the herd7 to use (default: \$HERD, or herd7 from PATH); 7.58 of
               herdtools7, or later
  --only GLOB  only the tests whose names match, such as 'ForkInherit*'
  --jobs N     how many at a time (default: 1)
  --help       this text

Exits with 0 if all is as expected, with 1 if something is not, with 2 on wrong
usage, and with 77 if there is no herd7.
EOF
}

die() { printf 'run.sh: %s\n' "$2" >&2; exit "$1"; }

herd=${HERD:-herd7} only='*' jobs=1 tree=
while [ $# -gt 0 ]; do
	case $1 in
	--help | -h) usage; exit 0 ;;
	--herd | --only | --jobs)
		[ $# -ge 2 ] || die 2 "$1 needs a value"
		case $1 in
		--herd) herd=$2 ;;
		--only) only=$2 ;;
		--jobs) jobs=$2 ;;
		esac
		shift ;;
	-*) die 2 "unknown option $1, see --help" ;;
	*)
		[ -z "$tree" ] || die 2 "one KERNEL_TREE, see --help"
		tree=$1 ;;
	esac
	shift
done
case $jobs in '' | *[!0-9]* | 0) die 2 "--jobs: not a number: $jobs" ;; esac
[ -n "$tree" ] || die 2 "no KERNEL_TREE, see --help"
model=$tree/tools/memory-model
[ -f "$model/linux-kernel.cfg" ] || die 2 "no memory model in $tree"

# Before the change of directory, for a relative path.
herd=$(command -v -- "$herd") && herd=$(realpath -- "$herd") || {
	printf 'run.sh: no herd7: give its path by --herd, see --help\n' >&2
	exit 77
}

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
logs=$(mktemp -d)
trap 'rm -rf -- "$logs"' EXIT
cd -- "$model"

# One line per test: verdict, name, what is expected, what was found, and the number of
# executions that satisfy the condition and that do not.
one() {
	local name=$1 file=$here/$1.litmus expected found yes no verdict=ok
	expected=$(sed -n 's/^ \* Result: \(Never\|Sometimes\|Always\)$/\1/p' -- "$file")

	timeout 120 "$herd" -conf linux-kernel.cfg "$file" >"$logs/$name" 2>&1 || true
	read -r found yes no < <(awk -v name="$name" '$1 == "Observation" && $2 == name { print $3, $4, $5 }' "$logs/$name") || true

	[ -n "$expected" ] && [ "$expected" = "$found" ] || verdict=BAD
	# A data race, unmatched locks and the like: then the verdict means nothing.
	! grep -q -E '^Flag |^Warning' -- "$logs/$name" || verdict=BAD
	printf '%-3s  %-46s %-10s %-10s %3s %3s\n' "$verdict" "$name" "${expected:--}" "${found:-none}" "${yes:--}" "${no:--}"
}
export -f one
export herd here logs

printf '     %-46s %-10s %-10s %3s %3s\n' TEST EXPECTED FOUND YES NO
# shellcheck disable=SC2016
find "$here" -maxdepth 1 -name "$only.litmus" -printf '%f\n' | sed 's/\.litmus$//' | sort |
	xargs -r -d '\n' -n 1 -P "$jobs" bash -c 'one "$1"' one | tee -- "$logs/.lines"

awk '$1 == "BAD" { print $2 }' "$logs/.lines" | while IFS= read -r name; do
	printf '\n== %s\n' "$name"
	head -n 20 -- "$logs/$name"
done

# By rule: the rule itself; without something, which lets the bad outcome happen; without
# something that another order makes up for.
awk '
	{
		rule = $2; sub(/\+.*/, "", rule)
		if (!(rule in seen)) { seen[rule] = 1; order[++rules] = rule }
		if ($1 == "BAD") bad[rule]++
		else if ($2 == rule) holds[rule] = $4
		else if ($4 == "Never") never[rule]++
		else some[rule]++
		all++; wrong += $1 == "BAD"
	}
	END {
		printf "\n%-24s %-10s %-12s %-12s %s\n", "RULE", "AS IT IS", "BREAKS", "STILL HOLDS", "BAD"
		for (i = 1; i <= rules; i++) {
			r = order[i]
			printf "%-24s %-10s %-12d %-12d %d\n", r, (r in holds ? holds[r] : "-"), some[r], never[r], bad[r]
		}
		printf "\n%d tests, %d as expected, %d not\n", all, all - wrong, wrong
		exit wrong > 0 || all == 0
	}' "$logs/.lines"
