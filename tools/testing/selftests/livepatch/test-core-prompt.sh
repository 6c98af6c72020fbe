#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A transition that nobody holds up: it needs no signals, and lets those sleep
# who sleep.

. $(dirname $0)/functions.sh
. $(dirname $0)/core-functions.sh

STACK1=test_klp_core_stack1
SLEEPERS=200

# wakeups() - how often the sleepers have been switched out, all together
function wakeups() {
	awk '/ctxt_switches:/ { sum += $2; lines++ } END { print sum, lines }' \
		"${STATUS[@]}"
}

# asleep(number) - are so many of the sleepers where they stay?
function asleep() {
	[[ $(cat "${STATUS[@]}" | grep -c '^State:.S') -eq $1 ]]
}

function expect_no_signals() {
	local last="the end of $CORE_MARK"

	log "$last"
	expect_soon "the last message" 'dmesg | grep -qF "'"$last"'"'
	since_start | grep -q "livepatch: signaling remaining tasks" &&
		fail "tasks were signaled"
}

function sleepers() {
	local i before pids=()

	STATUS=()
	for ((i = 0; i < SLEEPERS; i++)); do
		sleep 10000 &
		pids+=($!)
		remember $!
		STATUS+=("/proc/$!/status")
	done
	# All of them have become sleep, and that sleeps.
	expect_soon "all are programs of their own" \
		'[[ $(cat "${STATUS[@]}" | grep -c "^Name:.sleep$") -eq $SLEEPERS ]]'
	expect_soon "all are asleep" 'asleep $SLEEPERS'
	before=$(wakeups)

	load_mod $TARGET
	start_log
	load_lp $STACK1
	expect_versions 1 10
	disable_lp $STACK1
	expect_versions 0 0
	expect_no_signals
	unload_lp $STACK1
	unload_mod $TARGET

	expect "context switches of the sleepers" "$before" "$(wakeups)"
	kill "${pids[@]}"
	expect_all_end
}

core_setup 1
core_case "$SLEEPERS sleeping tasks: no signals, and nobody wakes up" sleepers
core_finish
