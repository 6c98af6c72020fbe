#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Tasks that exit: they are taken off the list of tasks and go on running. A
# livepatch must not be removed before they have returned from its code.

. $(dirname $0)/functions.sh
. $(dirname $0)/core-functions.sh

EXIT=test_klp_core_exit
ENABLED="$SYSFS_KLP_DIR/$EXIT/enabled"
EXITS=test_klp_core_exits
PARAMETERS=/sys/module/$EXIT/parameters
START=/sys/module/$EXITS/parameters
ROUNDS=10

function inside() {
	cat "$PARAMETERS/inside"
}

# start_exiting() - a task sleeps in the new code, and is in no list of tasks
function start_exiting() {
	write "$START/sleeper" 1
	expect_soon "a task in the new code" '[[ $(inside) -eq 1 ]]'
	expect "the task in /proc" "" \
		"$(grep -lx core_exit_sleep /proc/[0-9]*/comm 2> /dev/null)"
}

function release_exiting() {
	write "$PARAMETERS/release" 1
	expect_soon "no task in the new code" '[[ $(inside) -eq 0 ]]'
}

function waited_for() {
	dmesg | grep -q "klp_try_switch_task: core_exit_sleep:.* is sleeping on function"
}

# expect_held_up() - the transition of the livepatch waits for the task. The C
# core does not: it is not let loose on the task then.
function expect_held_up() {
	echo "func klp_try_switch_task +p" > "$SYSFS_DEBUG_DIR/dynamic_debug/control"
	expect_soon "the end of the transition, or a try that fails" \
		'waited_for || [[ ! -e "$ENABLED" ]]'
	echo "func klp_try_switch_task -p" > "$SYSFS_DEBUG_DIR/dynamic_debug/control"
	if [[ ! -e "$ENABLED" ]]; then
		release_exiting
		fail "$EXIT was disabled while a task slept in its code"
	fi
	expect_blocked $EXIT 0
}

function disable_waits() {
	dmesg -C
	load_mod $EXITS
	load_lp $EXIT
	start_exiting
	write "$ENABLED" 0
	expect_held_up
	rmmod $EXIT 2> /dev/null && fail "$EXIT is removed"
	release_exiting
	expect_gone $EXIT
	unload_lp $EXIT
	unload_mod $EXITS
}

function disable_reversed() {
	dmesg -C
	load_mod $EXITS
	load_lp $EXIT
	start_exiting
	write "$ENABLED" 0
	expect_held_up
	write "$ENABLED" 1
	end_transition $EXIT
	expect "enabled" 1 "$(klp $EXIT enabled)"
	expect "tasks in the new code" 1 "$(inside)"
	release_exiting
	disable_lp $EXIT
	unload_lp $EXIT
	unload_mod $EXITS
}

# storm() - threads that exit
function storm() {
	local i

	for ((i = 0; i < 20000; i++)); do
		[[ -e "$CORE_TMP/stop" ]] && break
		echo 10 > "$START/threads"
	done
	echo $i >> "$CORE_TMP/storms"
}

# Not for the C core: its module goes while tasks sleep in it, and they crash.
function remove_at_once() {
	local round

	: > "$CORE_TMP/storms"
	load_mod $EXITS
	storm &
	remember $!
	for ((round = 0; round < ROUNDS; round++)); do
		load_lp $EXIT
		expect_soon "tasks in the new code" '[[ $(inside) -gt 0 ]]'
		write "$ENABLED" 0
		expect_soon "rmmod" 'rmmod $EXIT 2> /dev/null'
	done
	touch "$CORE_TMP/stop"
	expect_all_end
	expect "storms" 1 "$(wc -l < "$CORE_TMP/storms")"
	expect_soon "rmmod" 'rmmod $EXITS 2> /dev/null'
}

CASES=2
if core_is_rust; then
	CASES=3
fi
core_setup $CASES
core_case "disabling waits for an exiting task in the new code" disable_waits
core_case "that is reversed" disable_reversed
if core_is_rust; then
	core_case "$ROUNDS times disabled and removed while tasks exit" remove_at_once
fi
core_finish
