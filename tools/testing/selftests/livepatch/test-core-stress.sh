#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Processors and tasks that come and go during a transition.

. $(dirname $0)/functions.sh
. $(dirname $0)/core-functions.sh

BUSY=test_klp_core_busy
ENABLED="$SYSFS_KLP_DIR/$BUSY/enabled"
ROUNDS=5

# cpu1(state)
function cpu1() {
	write "$CPU1_ONLINE" "$1"
	expect "CPU 1" "$1" "$(cat "$CPU1_ONLINE")"
}

function cpu_goes_and_comes() {
	load_mod $TARGET
	start_sleeper
	load_lp_nowait $BUSY
	cpu1 0
	expect_blocked $BUSY 1
	expect_versions 1 0
	cpu1 1
	expect_blocked $BUSY 1
	release_sleepers
	end_transition $BUSY

	start_sleeper
	write "$ENABLED" 0
	cpu1 0
	expect_blocked $BUSY 0
	expect_versions 0 0
	cpu1 1
	expect_blocked $BUSY 0
	release_sleepers
	expect_gone $BUSY
	unload_lp $BUSY
	unload_mod $TARGET
}

# The idle task of a processor that is away cannot switch by itself.
function cpu_stays_away() {
	load_mod $TARGET
	cpu1 0
	load_lp $BUSY
	expect_versions 1 0
	disable_lp $BUSY
	unload_lp $BUSY

	start_sleeper
	load_lp_nowait $BUSY
	expect_soon "all but the sleeper switched" \
		'[[ "$(tasks_in_state 0)" == $SLEEPER ]]'
	cpu1 1
	expect_blocked $BUSY 1
	release_sleepers
	end_transition $BUSY

	start_sleeper
	write "$ENABLED" 0
	cpu1 0
	release_sleepers
	expect_gone $BUSY
	cpu1 1
	unload_lp $BUSY
	unload_mod $TARGET
}

# Again and again, against transitions that nobody holds up.
function cpu_flaps() {
	local i

	load_mod $TARGET
	(
		for ((i = 0; i < 500; i++)); do
			[[ -e "$CORE_TMP/stop" ]] && break
			echo 0 > "$CPU1_ONLINE"
			echo 1 > "$CPU1_ONLINE"
		done
		echo $i > "$CORE_TMP/flaps"
	) &
	remember $!
	for ((i = 0; i < ROUNDS; i++)); do
		load_lp $BUSY
		expect_versions 1 0
		disable_lp $BUSY
		unload_lp $BUSY
		expect_versions 0 0
	done
	touch "$CORE_TMP/stop"
	expect_all_end
	echo "$(cat "$CORE_TMP/flaps") times"
	[[ $(cat "$CORE_TMP/flaps") -gt 0 ]] || fail "CPU 1 was never away"
	expect "CPU 1" 1 "$(cat "$CPU1_ONLINE")"
	unload_mod $TARGET
}

# storm() - children, their children, and other programs; ends by itself
function storm() {
	local i

	for ((i = 0; i < 5000; i++)); do
		[[ -e "$CORE_TMP/stop" ]] && break
		( : )
		( ( : ) & )
		/bin/true
		( read -r _ < "$TARGET_DIR/pair" )
	done
	echo $i >> "$CORE_TMP/storms"
}

function start_storms() {
	local i

	: > "$CORE_TMP/storms"
	for i in 1 2; do
		storm &
		remember $!
	done
}

function stop_storms() {
	touch "$CORE_TMP/stop"
	expect_all_end
	echo "storms:" $(cat "$CORE_TMP/storms")
	[[ $(cat "$CORE_TMP/storms") != *[^0-9]0[^0-9]* ]] || fail "no storm"
	expect "storms" 2 "$(wc -l < "$CORE_TMP/storms")"
	expect "mixed passes" 0 "$(target stats | cut -d ' ' -f 4)"
}

function forks() {
	local round

	load_mod $TARGET
	start_storms
	for ((round = 0; round < ROUNDS; round++)); do
		load_lp $BUSY
		expect_versions 1 0
		expect "remaining tasks" "" "$(tasks_in_state 0 1)"
		disable_lp $BUSY
		expect_versions 0 0
		expect "remaining tasks" "" "$(tasks_in_state 0 1)"
		unload_lp $BUSY
	done
	stop_storms
	unload_mod $TARGET
}

# With a transition that waits and is reversed, the children inherit either
# state.
function forks_reversed() {
	local round

	load_mod $TARGET
	start_storms
	for ((round = 0; round < ROUNDS; round++)); do
		start_sleeper
		load_lp_nowait $BUSY
		expect_soon "only the sleeper remaining" \
			'[[ "$(tasks_in_state 0)" == $SLEEPER ]]'
		write "$ENABLED" 0
		expect_gone $BUSY
		expect "remaining tasks" "" "$(tasks_in_state 0 1)"
		unload_lp $BUSY
		release_sleepers

		start_sleeper
		load_lp_nowait $BUSY
		release_sleepers
		end_transition $BUSY
		expect "remaining tasks" "" "$(tasks_in_state 0 1)"
		disable_lp $BUSY
		unload_lp $BUSY
	done
	stop_storms
	unload_mod $TARGET
}

# cpu_case(description, function)
function cpu_case() {
	if [[ -e "$CPU1_ONLINE" ]]; then
		core_case "$@"
	else
		core_skip "$1" "needs a second processor and CONFIG_HOTPLUG_CPU"
	fi
}

core_setup 5
cpu_case "a processor goes and comes during a transition" cpu_goes_and_comes
cpu_case "a processor is away during a transition" cpu_stays_away
cpu_case "a processor goes and comes all the time" cpu_flaps
core_case "tasks are born all the time" forks
core_case "tasks are born during transitions that are reversed" forks_reversed
core_finish
