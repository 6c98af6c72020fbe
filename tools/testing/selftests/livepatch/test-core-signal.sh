#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Tasks in system calls, and signals: a stopped task holds up nobody, and a
# task that sleeps in the old function so that signals can wake it is woken at
# last, by a signal that no program sees.

. $(dirname $0)/functions.sh
. $(dirname $0)/core-functions.sh

BUSY=test_klp_core_busy
ENABLED="$SYSFS_KLP_DIR/$BUSY/enabled"

# start_light_sleeper() - like start_sleeper(), but signals wake the task
function start_light_sleeper() {
	local number=$(($(target sleepers) + 1))

	cat "$TARGET_DIR/busy_or_signal" > "$CORE_TMP/light" &
	SLEEPER=$!
	remember $SLEEPER
	expect_soon "sleeper $number" '[[ $(target sleepers) -eq '$number' ]]'
}

# state_of(task) - as ps says it
function state_of() {
	sed 's/.*) \(.\) .*/\1/' "/proc/$1/stat"
}

# stop(task)
function stop() {
	kill -STOP $1
	expect_soon "task $1 stopped" "[[ \$(state_of $1) == T ]]"
}

function stopped_elsewhere() {
	local stopped

	load_mod $TARGET
	sleep 1000 &
	stopped=$!
	remember $stopped
	stop $stopped
	load_lp $BUSY
	expect_versions 1 0
	disable_lp $BUSY
	expect_versions 0 0
	expect "state of the task" T "$(state_of $stopped)"
	kill -KILL $stopped
	unload_lp $BUSY
	unload_mod $TARGET
}

# To be stopped it has to return from the function, and then calls the new one.
function stopped_in_function() {
	load_mod $TARGET
	start_light_sleeper
	load_lp_nowait $BUSY
	only_waits_for $SLEEPER 0
	expect_blocked $BUSY 1
	stop $SLEEPER
	end_transition $BUSY
	expect "state of the task" T "$(state_of $SLEEPER)"
	expect "sleepers" 0 "$(target sleepers)"
	kill -CONT $SLEEPER
	expect_soon "back in the function" '[[ $(target sleepers) -eq 1 ]]'

	write "$ENABLED" 0
	only_waits_for $SLEEPER 1
	expect_blocked $BUSY 0
	stop $SLEEPER
	expect_gone $BUSY
	kill -CONT $SLEEPER
	expect_soon "back in the function" '[[ $(target sleepers) -eq 1 ]]'
	release_sleepers
	expect_end $SLEEPER || fail "the sleeper got an error"
	expect "answer of the old function" 0 "$(cat "$CORE_TMP/light")"
	unload_lp $BUSY
	unload_mod $TARGET
}

# This takes as long as it takes until the core loses patience: 15 seconds.
function signalled() {
	local light

	load_mod $TARGET
	start_light_sleeper
	light=$SLEEPER
	start_sleeper
	start_log
	load_lp_nowait $BUSY
	expect_soon "both wait" '[[ $(tasks_in_state 0 | wc -w) -eq 2 ]]'
	only_waits_for $SLEEPER 0
	expect "signaling remaining tasks" 1 "$(since_start |
		grep -c "livepatch: signaling remaining tasks$")"
	expect_soon "back in the function" '[[ $(target sleepers) -eq 2 ]]'
	expect "patch_state of who was woken" 1 "$(cat "/proc/$light/patch_state")"
	expect_blocked $BUSY 1
	release_sleepers
	end_transition $BUSY
	expect_end $SLEEPER || fail "the sleeper got an error"
	expect_end $light || fail "the light sleeper got an error"
	expect "answer of the old function" 0 "$(cat "$CORE_TMP/busy.2")"
	expect "answer of the new function" 1 "$(cat "$CORE_TMP/light")"
	expect_log "% insmod test_modules/$BUSY.ko
$(says_enabling $BUSY)
% release the sleepers
$(says_enabled $BUSY)"
	disable_lp $BUSY
	unload_lp $BUSY
	unload_mod $TARGET
}

core_setup 3
core_case "a stopped task, elsewhere" stopped_elsewhere
core_case "a task in the function is stopped" stopped_in_function
core_case "a task in the function is signalled" signalled
core_finish
