#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The examples in the documentation of the Rust API for livepatches. KUnit has
# run them when the kernel booted, with CONFIG_RUST_KERNEL_DOCTESTS; this says
# what came out.

. $(dirname $0)/functions.sh

RESULTS="$SYSFS_DEBUG_DIR/kunit/rust_doctests_kernel/results"
# The files that livepatches are about, or that were changed for their samples.
OURS='rust_doctest_kernel_(livepatch(_[a-z]+)?|time|workqueue)_rs_'

is_root
[[ -e "$RESULTS" ]] ||
	skip "no $RESULTS: needs CONFIG_RUST_KERNEL_DOCTESTS, CONFIG_KUNIT_DEBUGFS"

mapfile -t tests < <(sed -E -n 's/^ *((not )?ok) [0-9]+ (rust_doctest_.*)/\1 \3/p' "$RESULTS")
mapfile -t ours < <(printf '%s\n' "${tests[@]}" | grep -E " $OURS")
bad=$(printf '%s\n' "${tests[@]}" | grep -c '^not ok')

echo "TAP version 13"
echo "1..$((${#ours[@]} + 1))"
number=0
for line in "${ours[@]}"; do
	number=$((number + 1))
	name=${line##*ok }
	where=$(sed -E -n "s/^ *# ${name%% *}\.location: //p" "$RESULTS")
	echo "${line%% rust_doctest_*} $number - $name${where:+ ($where)}"
done

number=$((number + 1))
if [[ ${#ours[@]} -gt 0 && $bad -eq 0 ]]; then
	echo "ok $number - all ${#tests[@]} examples of the kernel crate"
else
	echo "not ok $number - all ${#tests[@]} examples of the kernel crate # $bad failed"
	grep -B 8 'not ok' "$RESULTS" | sed 's/^/# /'
	exit 1
fi
