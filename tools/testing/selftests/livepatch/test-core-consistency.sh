#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Functions which have to change together: no task may ever see the old one
# and the new one within one pass, whatever becomes of the transition.
#
# What a livepatch guarantees is that a task is not switched while one of the
# patched functions is on its stack. core_target_pair(), which calls the two
# functions and sleeps between them, therefore belongs to the patch; it says
# its own version, too. Interrupts see the version of the task that they come
# upon.

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

# While the sleeper holds up the transition, old and new code run at the same time.
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

# Reverse as fast as it goes, at whatever point that may be.
function flip() {
	local round reversal

	load_mod $TARGET
	start_hammers
	for ((round = 0; round < REVERSE_ROUNDS; round++)); do
		# Two sleepers, one in each version: no direction can end.
		start_sleeper
		load_lp_nowait $BUSY
		start_sleeper
		for ((reversal = 0; reversal < 10; reversal++)); do
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

# irqs(number) - of irq_stats: 1 wrong, 2 and 3 right ones by the task's state,
# 4 and 5 upon the spinner, by version
function irqs() {
	target irq_stats | cut -d ' ' -f "$1"
}

# more_irqs(numbers) - wait until there are some more of each, and none wrong
function more_irqs() {
	local number wanted

	for number in "$@"; do
		wanted=$(($(irqs $number) + 20))
		expect_soon "interrupts of kind $number" \
			'[[ $(irqs 1) -ne 0 || $(irqs '$number') -ge '$wanted' ]]'
		expect "interrupts that differ from their task" 0 "$(irqs 1)"
	done
}

function start_spinner() {
	write "$TARGET_DIR/spin" 1
	expect_soon "spinner" '[[ $(target spin) != -1 ]]'
	expect "answer to the spinner" "$1" "$(target spin)"
}

function irqs_inherit() {
	local enabled="$SYSFS_KLP_DIR/$BUSY/enabled"
	local old

	trap 'echo 0 > "$TARGET_DIR/irq"; echo 0 > "$TARGET_DIR/spin"' EXIT
	load_mod $TARGET
	write "$TARGET_DIR/irq" 1

	start_spinner 0
	load_lp_nowait $BUSY
	expect_soon "one task remaining" '[[ "$(tasks_in_state 0)" =~ ^[0-9]+$ ]]'
	expect "who waits" core_spinner "$(cat "/proc/$(tasks_in_state 0)/comm")"
	more_irqs 2 3 4
	expect_versions 1 0
	expect "answer to the spinner" 0 "$(target spin)"
	expect "new code upon the spinner" 0 "$(irqs 5)"
	expect_blocked $BUSY 1
	write "$TARGET_DIR/spin" 0
	end_transition $BUSY

	start_spinner 1
	old=$(irqs 4)
	write "$enabled" 0
	expect_soon "one task remaining" '[[ "$(tasks_in_state 1)" =~ ^[0-9]+$ ]]'
	more_irqs 2 3 5
	expect_versions 0 0
	expect "answer to the spinner" 1 "$(target spin)"
	expect "old code upon the spinner" "$old" "$(irqs 4)"
	expect_blocked $BUSY 0
	write "$TARGET_DIR/spin" 0
	expect_gone $BUSY
	unload_lp $BUSY

	write "$TARGET_DIR/irq" 0
	expect "interrupts that differ from their task" 0 "$(irqs 1)"
	trap - EXIT
	unload_mod $TARGET
}

core_setup 4
core_case "no mixed pass in $ROUNDS rounds of enabling and disabling" enable_disable
core_case "no mixed pass in $REVERSE_ROUNDS rounds with reversals" reverse
core_case "no mixed pass in $REVERSE_ROUNDS rounds of quick reversals" flip
core_case "interrupts see the version of their task" irqs_inherit
core_finish
