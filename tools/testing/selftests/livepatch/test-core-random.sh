#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Random operations on eight livepatches, legal and illegal ones: each ends as
# the rules in kernel/livepatch/model say. Only the Rust core has these
# operations.
#
# The program is a crate of its own, tools/testing/livepatch/random in the
# project's repository, and uses other crates: a kernel tree cannot build it. So
# series/groups leaves this script out of the series, and the Makefile here does
# not list it.

. $(dirname $0)/functions.sh
. $(dirname $0)/core-functions.sh

RANDOM_OPS=./test_klp-random
OPERATIONS=${CORE_OPERATIONS:-1000}
FRESH=${CORE_SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}

if [[ ! -x "$RANDOM_OPS" ]]; then
	echo "TAP version 13"
	echo "1..0 # SKIP no $RANDOM_OPS: built from tools/testing/livepatch/random"
	exit 4
fi

# operations(seed)
function operations() {
	$RANDOM_OPS --operations "$OPERATIONS" --seed "$1" 2>&1 |
		tee "$CORE_TMP/random"
	local status=${PIPESTATUS[0]}

	[[ $status -eq 0 ]] || fail "$(grep -v '^#' "$CORE_TMP/random" | tr '\n' ' ')"
}

# with_seed(seed) - says it, and what came out
function with_seed() {
	core_case "$OPERATIONS random operations, seed $2" operations "$1"
	sed -n 's/^# [0-9]* operations/&/p' "$CORE_TMP/random"
}

core_setup 2
with_seed 1 1
echo "# fresh seed: $FRESH"
with_seed "$FRESH" "fresh"
core_finish
