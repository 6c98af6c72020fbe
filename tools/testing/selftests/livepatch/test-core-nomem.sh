#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Enabling a livepatch without the first, the second, ... piece of memory that
# it needs: it is refused, nothing stays behind, and what was there before
# works as it did. The same with a module that comes and is to be patched.
# Disabling, reversing, and a module that goes: nothing may fail for memory.

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

# below(function) - only pieces of memory that are asked for below this function
# of the kernel may be missing
function below() {
	local range

	# The first address of the function, and that of what comes after it.
	range=$(awk -v name="$1" '
		first != "" && $1 != first { print first, $1; exit }
		$3 == name && NF == 3 { first = $1 }' /proc/kallsyms)
	[[ -n "$range" ]] || fail "no function $1"
	echo "0x${range% *}" > "$FAILSLAB/require-start"
	echo "0x${range#* }" > "$FAILSLAB/require-end"
}

# anywhere() - end this
function anywhere() {
	echo 0 > "$FAILSLAB/require-start"
	echo 0xffffffffffffffff > "$FAILSLAB/require-end"
}

# give_memory() - end what without_any() does
function give_memory() {
	echo 0 > "$FAILSLAB/probability"
	[[ ! -e "$FAILSLAB/require-start" ]] || anywhere
}

# without(function, nth, command...) - run a program without the nth piece of
# memory that is asked for below this function of the kernel, in a process of
# its own. Its messages are in FOUND.
function without() {
	local nth="$2" status

	below "$1"
	shift 2
	echo 1 > "$FAILSLAB/times"
	FOUND=$( { echo "$nth" > /proc/self/fail-nth && exec "$@"; } 2>&1)
	status=$?
	anywhere
	return $status
}

# without_any(function, command...) - the same without any of them
function without_any() {
	local status

	below "$1"
	shift
	echo -1 > "$FAILSLAB/times"
	echo 100 > "$FAILSLAB/probability"
	FOUND=$("$@" 2>&1)
	status=$?
	give_memory
	return $status
}

# write_without(nth, file, value) - write without the nth piece of memory. The
# first one is the copy that kernfs itself makes of what is written, so that
# must fail, and shows that pieces are taken away where they should be.
function write_without() {
	local nth="$1" file="$2" value="$3"

	if without kernfs_fop_write_iter $nth sh -c "echo $value > $file"; then
		((nth > 1)) || fail "kernfs needs no memory"
	else
		((nth == 1)) || fail "allocation $nth: $FOUND"
		[[ "$FOUND" == *": Cannot allocate memory" ]] || fail "kernfs: $FOUND"
		write "$file" "$value"
	fi
}

# failed_for_memory() - has without() taken that piece of memory away?
function failed_for_memory() {
	[[ $(cat "$FAILSLAB/times") == 0 ]]
}

# expect_detached() - no function of the target has a livepatch
function expect_detached() {
	grep -F core_target_ "$SYSFS_TRACING_DIR/enabled_functions" &&
		fail "still attached"
	return 0
}

# refused() - the target was not loaded, for lack of memory
function refused() {
	[[ "$FOUND" == *": Cannot allocate memory" ]] || fail "$1: $FOUND"
	[[ ! -e /sys/module/$TARGET ]] || fail "$1: $TARGET is loaded"
	expect_detached
}

# A module for which a livepatch waits comes with all its functions patched, or
# not at all. A core that finds another way without a piece need not refuse it.
function coming() {
	local nth

	load_lp $P1 functions=cmdline,version,version2,busy version=7
	for ((nth = 1; nth < 1000; nth++)); do
		if without klp_module_coming $nth insmod test_modules/$TARGET.ko; then
			expect_versions 7 7
			failed_for_memory || break
			unload_mod $TARGET
			continue
		fi
		refused "allocation $nth"
	done
	log "came or was refused without each of $((nth - 1)) allocations"
	((nth > 1)) || fail "needs no memory"
	unload_mod $TARGET

	# There is no way around what ftrace needs to attach to a function.
	without_any ftrace_set_hash insmod test_modules/$TARGET.ko &&
		fail "$TARGET was loaded without memory for ftrace"
	refused "all allocations of ftrace"
	load_mod $TARGET
	expect_versions 7 7
	unload_p1
	expect_versions 0 0
	unload_mod $TARGET
}

# A module that goes cannot be told to stay.
function going() {
	local nth

	load_lp $P1 functions=cmdline,version,version2,busy version=7
	for ((nth = 1; nth < 1000; nth++)); do
		load_mod $TARGET
		expect_versions 7 7
		without klp_module_going $nth rmmod $TARGET ||
			fail "allocation $nth: $FOUND"
		[[ ! -e /sys/module/$TARGET ]] || fail "$TARGET is loaded"
		expect_detached
		failed_for_memory || break
	done
	log "went without each of $((nth - 1)) allocations"
	((nth > 1)) || fail "needs no memory"
	unload_p1
}

# Both are the way out of a transition that does not end.
function disabling() {
	local enabled="$SYSFS_KLP_DIR/$P1/enabled"
	local nth

	load_mod $TARGET
	for ((nth = 1; nth < 1000; nth++)); do
		load_lp $P1 functions=cmdline,version,version2,busy version=7
		write_without $nth "$enabled" 0
		expect_gone $P1
		expect_versions 0 0
		unload_lp $P1
		failed_for_memory || break
	done
	log "disabled without each of $((nth - 2)) allocations"
	unload_mod $TARGET
}

function reversing() {
	local enabled="$SYSFS_KLP_DIR/$P1/enabled"
	local nth

	load_mod $TARGET
	for ((nth = 1; nth < 1000; nth++)); do
		start_sleeper
		insmod test_modules/$P1.ko functions=version,busy version=7 ||
			fail "insmod $P1"
		expect_blocked $P1 1
		write_without $nth "$enabled" 0
		expect_gone $P1
		release_sleepers
		expect_end $SLEEPER
		unload_lp $P1
		failed_for_memory || break
	done
	log "reversed without each of $((nth - 2)) allocations"
	unload_mod $TARGET
}

# filtered_case(description, function) - one that uses without()
function filtered_case() {
	if [[ -e "$FAILSLAB/require-start" ]]; then
		core_case "$@"
	else
		core_skip "$1" "needs CONFIG_FAULT_INJECTION_STACKTRACE_FILTER"
	fi
}

CASES=6
if core_is_rust; then
	CASES=9
fi

core_setup $CASES
# Cleaning up needs memory.
at_exit give_memory
core_case "the first livepatch of some functions" first
core_case "a livepatch on another" stacked
core_case "a replacement, with objects that are loaded" replacing loaded
core_case "a replacement, with an object that is not loaded" replacing absent
core_case "system states and callbacks" with_states
filtered_case "a module that comes" coming
# The C core warns about each function that ftrace has no memory to let go of.
if core_is_rust; then
	filtered_case "a module that goes" going
	filtered_case "disabling" disabling
	filtered_case "reversing" reversing
fi
core_finish
