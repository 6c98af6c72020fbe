#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Enabling a livepatch without the first, the second, ... piece of memory that
# it needs: it is refused, nothing stays behind, and what was there before
# works as it did.

. $(dirname $0)/functions.sh
. $(dirname $0)/core-functions.sh

P1=test_klp_core_param1
P2=test_klp_core_param2
OTHER=test_klp_mod_target
FAILSLAB="$SYSFS_DEBUG_DIR/failslab"

if [[ ! -e "$FAILSLAB/ignore-gfp-wait" || ! -e /proc/self/fail-nth ]]; then
	echo "TAP version 13"
	echo "1..0 # SKIP needs CONFIG_FAILSLAB and CONFIG_FAULT_INJECTION_DEBUG_FS"
	exit 4
fi
# Also where the kernel may wait for memory; without a line for each.
echo N > "$FAILSLAB/ignore-gfp-wait"
echo 0 > "$FAILSLAB/verbose"

# fails_at_each_step(least, versions, parameters) - load P1 until it can have
# all its memory
#	least    - how many times it has to fail
#	versions - what the functions answer before
function fails_at_each_step() {
	local least="$1" versions="$2"; shift 2
	local before failed=0 nth found

	before=$(ls -R "$SYSFS_KLP_DIR")
	for ((nth = 1; nth < 1000; nth++)); do
		if found=$(insmod test_modules/$P1.ko "$@" fail_nth=$nth 2>&1); then
			end_transition $P1
			# What remains of the number was not needed.
			[[ $(cat /sys/module/$P1/parameters/fail_nth) == 0 ]] || break
			disable_lp $P1
			expect_soon "no references" \
				'[[ $(cat /sys/module/'$P1'/refcnt) == 0 ]]'
			unload_lp $P1
			restore_replaced
			continue
		fi
		[[ "$found" == *": Cannot allocate memory" ]] ||
			fail "allocation $nth: $found"
		failed=$((failed + 1))
		expect_same "after allocation $nth has failed" "$before" \
			"$(ls -R "$SYSFS_KLP_DIR")"
		[[ ! -e /sys/module/$P1 ]] || fail "$P1 is loaded"
		expect_versions $versions
	done
	log "failed at $failed allocations"
	((failed >= least)) || fail "failed $failed times, expected at least $least"
}

function unload_p1() {
	disable_lp $P1
	unload_lp $P1
}

# restore_replaced() - if there was another livepatch, it is replaced: again
function restore_replaced() {
	[[ -e /sys/module/$P2 && ! -e $SYSFS_KLP_DIR/$P2 ]] || return
	expect_soon "no references" '[[ $(cat /sys/module/'$P2'/refcnt) == 0 ]]'
	unload_lp $P2
	load_lp $P2 functions=cmdline,version,busy,show version=5
}

function first() {
	load_mod $TARGET
	fails_at_each_step 3 "0 0" functions=cmdline,version,version2,busy version=7
	expect_versions 7 7
	unload_p1
	expect_versions 0 0
	unload_mod $TARGET
}

function stacked() {
	load_mod $TARGET
	load_lp $P2 functions=version,busy version=5
	fails_at_each_step 3 "5 0" functions=version,version2,busy version=7
	expect_versions 7 7
	unload_p1
	expect_versions 5 0
	disable_lp $P2
	unload_lp $P2
	unload_mod $TARGET
}

# Those functions and objects that it does not have itself get nops.
function replacing() {
	load_mod $TARGET
	[[ $1 == loaded ]] && load_mod $OTHER
	load_lp $P2 functions=cmdline,version,busy,show version=5
	fails_at_each_step 8 "5 0" functions=version2 version=7 replace=1
	expect_versions 0 7
	expect "/proc/cmdline" "$CMDLINE" "$(cat /proc/cmdline)"
	unload_lp $P2
	unload_p1
	[[ $1 == loaded ]] && unload_mod $OTHER
	expect_versions 0 0
	unload_mod $TARGET
}

function with_states() {
	load_mod $TARGET
	load_lp $P2 functions=version version=5 state=1
	fails_at_each_step 3 "5 0" functions=version version=7 state=2 callbacks=1
	expect_versions 7 0
	unload_p1
	disable_lp $P2
	unload_lp $P2
	unload_mod $TARGET
}

core_setup 5
core_case "the first livepatch of some functions" first
core_case "a livepatch on another" stacked
core_case "a replacement, with objects that are loaded" replacing loaded
core_case "a replacement, with an object that is not loaded" replacing absent
core_case "system states and callbacks" with_states
core_finish
