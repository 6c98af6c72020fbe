#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Functions which have to change together: no task may ever see the old one
# and the new one within one pass, whatever becomes of the transition.
#
# What a livepatch guarantees is that a task is not switched while one of the
# patched functions is on its stack. core_target_pair(), which calls the two
# functions and sleeps between them, therefore belongs to the patch; it says
# its own version, too.

. $(dirname $0)/functions.sh
. $(dirname $0)/core-functions.sh

BUSY=test_klp_core_busy
ENABLED="$SYSFS_KLP_DIR/$BUSY/enabled"
ROUNDS=10
REVERSE_ROUNDS=4

# user_hammer() - a user task which does one pass in each system call
function user_hammer() {
	local i self a b

	for ((i = 0; i < 100000; i++)); do
		[[ -e "$CORE_TMP/stop" ]] && break
		read -r self a b < "$TARGET_DIR/pair" || break
		[[ "$self$a$b" == 000 || "$self$a$b" == 111 ]] ||
			echo "$self $a $b" >> "$CORE_TMP/mixed"
	done
}

function stop_hammers() {
	touch "$CORE_TMP/stop"
	wait
	write "$TARGET_DIR/hammer" 0
}

# passes(kind) - how many there were: 1 all, 2 by old code, 3 by new, 4 mixed
function passes() {
	target stats | cut -d ' ' -f "$1"
}

# more_passes(kind) - wait until there are some more
function more_passes() {
	local wanted=$(($(passes "$1") + 30))

	expect_soon "passes of kind $1" '[[ $(passes '"$1"') -ge '$wanted' ]]'
}

function expect_unmixed() {
	expect "mixed passes" 0 "$(passes 4)"
	expect "mixed passes of user tasks" "" "$(cat "$CORE_TMP/mixed")"
}

function enable_disable() {
	local round

	load_mod $TARGET
	start_hammers
	for ((round = 0; round < ROUNDS; round++)); do
		more_passes 2
		load_lp $BUSY
		more_passes 3
		disable_lp $BUSY
		unload_lp $BUSY
		expect_unmixed
	done
	stop_hammers
	target stats
	expect_unmixed
	unload_mod $TARGET
}

# While the sleeper holds up the transition, old and new code run side by side.
function reverse() {
	local round

	load_mod $TARGET
	start_hammers
	for ((round = 0; round < REVERSE_ROUNDS; round++)); do
		start_sleeper
		load_lp_nowait $BUSY
		more_passes 3
		write "$ENABLED" 0
		more_passes 2
		expect_gone $BUSY
		unload_lp $BUSY
		release_sleepers

		load_lp_nowait $BUSY
		more_passes 3
		end_transition $BUSY
		start_sleeper
		write "$ENABLED" 0
		more_passes 2
		expect_blocked $BUSY 0
		write "$ENABLED" 1
		more_passes 3
		end_transition $BUSY
		release_sleepers
		disable_lp $BUSY
		unload_lp $BUSY
		expect_unmixed
	done
	stop_hammers
	target stats
	expect_unmixed
	unload_mod $TARGET
}

# Turn around as fast as it goes, at whatever point that may be.
function flip() {
	local round turns

	load_mod $TARGET
	start_hammers
	for ((round = 0; round < REVERSE_ROUNDS; round++)); do
		# Two sleepers, one in each version: no direction can end.
		start_sleeper
		load_lp_nowait $BUSY
		start_sleeper
		for ((turns = 0; turns < 10; turns++)); do
			echo 0 > "$ENABLED" || fail "cannot reverse"
			echo 1 > "$ENABLED" || fail "cannot reverse back"
		done
		expect_blocked $BUSY 1
		more_passes 3
		release_sleepers
		end_transition $BUSY
		disable_lp $BUSY
		unload_lp $BUSY
		expect_unmixed
	done
	stop_hammers
	target stats
	expect_unmixed
	unload_mod $TARGET
}

core_setup 3
core_case "no mixed pass in $ROUNDS rounds of enabling and disabling" enable_disable
core_case "no mixed pass in $REVERSE_ROUNDS rounds with reversals" reverse
core_case "no mixed pass in $REVERSE_ROUNDS rounds of quick reversals" flip
core_finish
