#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Functions which have to change together, as in test-core-consistency.sh,
# while livepatches replace each other: no task may ever see two versions
# within one pass.

. $(dirname $0)/functions.sh
. $(dirname $0)/core-functions.sh

REPLACE=test_klp_core_replace
# Patches none of the functions here, so that it takes them back.
NOPS=test_klp_atomic_replace
ROUNDS=4

# user_hammer() - a user task which does one pass in each system call
function user_hammer() {
	local i self a b

	for ((i = 0; i < 100000; i++)); do
		[[ -e "$CORE_TMP/stop" ]] && break
		read -r self a b < "$TARGET_DIR/pair" || break
		[[ "$self" == "$a" && "$self" == "$b" ]] ||
			echo "$self $a $b" >> "$CORE_TMP/mixed"
	done
}

# end_hammers() - none of their passes was mixed
function end_hammers() {
	stop_hammers
	target passes
	expect_unmixed
}

# passes_of(version) - how many there were
function passes_of() {
	target passes | cut -d ' ' -f $(($1 + 1))
}

# more_passes_of(version) - wait until there are some more
function more_passes_of() {
	local wanted=$(($(passes_of "$1") + 30))

	expect_soon "passes of version $1" '[[ $(passes_of '"$1"') -ge '$wanted' ]]'
}

# expect_pair(version) - what a pass of this shell says after a transition
function expect_pair() {
	expect "one pass" "$1 $1 $1" "$(target pair)"
}

# expect_replaced(patch) - another one has replaced it; remove the module
function expect_replaced() {
	expect_gone "$1"
	unload_lp "$1"
}

function replace_each_other() {
	local round old new

	load_mod $TARGET
	start_hammers
	more_passes_of 0
	load_lp ${REPLACE}1
	for ((round = 0; round < ROUNDS; round++)); do
		old=$((1 + round % 2))
		new=$((2 - round % 2))
		more_passes_of $old
		load_lp $REPLACE$new
		expect_replaced $REPLACE$old
		expect_pair $new
		more_passes_of $new
		expect_unmixed
	done
	disable_lp $REPLACE$new
	unload_lp $REPLACE$new
	end_hammers
	unload_mod $TARGET
}

# The original functions come back by way of a livepatch that has none of them.
function replace_by_nothing() {
	local round

	load_mod $TARGET
	start_hammers
	for ((round = 0; round < ROUNDS / 2; round++)); do
		load_lp ${REPLACE}2
		((round == 0)) || expect_replaced $NOPS
		expect_pair 2
		more_passes_of 2
		if ((round == 0)); then
			start_sleeper
			load_lp_nowait $NOPS replace=1
			more_passes_of 0
			expect_blocked $NOPS 1
			release_sleepers
			end_transition $NOPS
		else
			load_lp $NOPS replace=1
		fi
		expect_replaced ${REPLACE}2
		expect_pair 0
		more_passes_of 0
		expect_unmixed
	done
	disable_lp $NOPS
	unload_lp $NOPS
	end_hammers
	unload_mod $TARGET
}

function replace_reversed() {
	local enabled="$SYSFS_KLP_DIR/${REPLACE}2/enabled"

	load_mod $TARGET
	start_hammers
	load_lp ${REPLACE}1
	start_sleeper

	load_lp_nowait ${REPLACE}2
	more_passes_of 2
	expect_blocked ${REPLACE}2 1
	write "$enabled" 0
	more_passes_of 1
	expect_gone ${REPLACE}2
	unload_lp ${REPLACE}2
	# The other one is as it was.
	expect "sleepers" 1 "$(target sleepers)"
	expect "enabled" 1 "$(klp ${REPLACE}1 enabled)"
	expect "transition" 0 "$(klp ${REPLACE}1 transition)"
	expect "stack_order" 1 "$(klp ${REPLACE}1 stack_order)"
	expect_pair 1
	expect_unmixed

	# There and back, while a task in each version lets neither win.
	load_lp_nowait ${REPLACE}2
	expect_soon "this shell switched" '[[ $(cat /proc/$BASHPID/patch_state) == 1 ]]'
	start_sleeper
	for _ in 1 2 3; do
		write "$enabled" 0
		more_passes_of 1
		write "$enabled" 1
		more_passes_of 2
	done
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		echo 0 > "$enabled" || fail "cannot reverse"
		echo 1 > "$enabled" || fail "cannot reverse back"
	done
	expect_blocked ${REPLACE}2 1
	expect "enabled of the other" 1 "$(klp ${REPLACE}1 enabled)"
	expect_unmixed

	release_sleepers
	end_transition ${REPLACE}2
	expect_replaced ${REPLACE}1
	expect_pair 2
	more_passes_of 2
	disable_lp ${REPLACE}2
	unload_lp ${REPLACE}2
	more_passes_of 0
	end_hammers
	expect "answer of the first sleeper" 1 "$(cat "$CORE_TMP/busy.1")"
	expect "answer of the second sleeper" 2 "$(cat "$CORE_TMP/busy.2")"
	unload_mod $TARGET
}

core_setup 3
core_case "no mixed pass while two livepatches replace each other" replace_each_other
core_case "no mixed pass while one without the functions takes them back" replace_by_nothing
core_case "no mixed pass while replacing is held up and reversed" replace_reversed
core_finish
