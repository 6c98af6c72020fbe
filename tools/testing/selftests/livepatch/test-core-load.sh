#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A patched module that is loaded while a real-time task has a CPU for itself:
# loading waits for nobody.

. $(dirname $0)/functions.sh
. $(dirname $0)/core-functions.sh

STACK=test_klp_core_stack
TWO=test_klp_core_two
OTHER=test_klp_mod_target

# beside_hog(command...) - run the command on CPU 0, while CPU 1 runs nothing
# but a real-time task
function beside_hog() {
	local end=$((SECONDS + CORE_TIMEOUT / 3))
	local hog command late

	taskset -c 1 chrt -f 50 sh -c 'while :; do :; done' &
	hog=$!
	echo "$hog" >> "$CORE_TMP/pids"
	taskset -pc 0 $BASHPID > /dev/null
	"$@" &
	command=$!
	while kill -0 $command 2> /dev/null; do
		if ((SECONDS >= end)); then
			late=yes
			break
		fi
		sleep $RETRY_INTERVAL
	done
	kill -KILL $hog
	expect_end $command || fail "$* failed"
	[[ -z "$late" ]] || fail "$*: waits for a CPU that is busy"
}

function one_livepatch() {
	load_lp ${STACK}1
	beside_hog load_mod $TARGET
	expect_versions 1 10
	disable_lp ${STACK}1
	unload_lp ${STACK}1
	unload_mod $TARGET
}

function several_livepatches() {
	load_lp ${STACK}1
	load_lp ${STACK}2
	load_lp ${STACK}3
	beside_hog load_mod $TARGET
	expect_versions 3 30
	disable_lp ${STACK}3
	disable_lp ${STACK}2
	disable_lp ${STACK}1
	unload_lp ${STACK}3
	unload_lp ${STACK}2
	unload_lp ${STACK}1
	unload_mod $TARGET
}

function mid_transition() {
	load_mod $TARGET
	start_sleeper
	load_lp_nowait $TWO
	expect_blocked $TWO 1
	beside_hog load_mod $OTHER
	expect "patched of $OTHER" 1 "$(klp $TWO $OTHER/patched)"
	release_sleepers
	end_transition $TWO
	expect_versions 0 2
	disable_lp $TWO
	unload_lp $TWO
	unload_mod $OTHER
	unload_mod $TARGET
}

core_setup 3
allow_hogs

core_case "a module for which there is a livepatch" one_livepatch
core_case "a module for which there are several" several_livepatches
core_case "a module that comes in mid-transition" mid_transition

core_finish
