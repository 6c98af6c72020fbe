#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A replacement may end with a jump to another function. A task that was
# preempted there shows nothing of the replacement on its stack, so it is moved;
# but the module must not go before it has left.

. $(dirname $0)/functions.sh
. $(dirname $0)/core-functions.sh

TAIL=test_klp_core_tail
REPLACE=test_klp_core_param1
ATTEMPTS=30

# start_spinner() - a task is where the replacement has jumped to, and is
# preempted there by others, as many as there are processors
function start_spinner() {
	local cpu

	load_mod $TARGET
	load_lp $TAIL
	for ((cpu = 0; cpu < $(nproc); cpu++)); do
		while [[ ! -e "$CORE_TMP/stop" ]]; do :; done &
		remember $!
	done
	write "$TARGET_DIR/spin" 2
	expect_soon "the spinner spins" '[[ $(target spin) -eq 0 ]]'
	start_log
}

# expect_kept() - the module cannot be removed: not now, and, as a core that does
# not wait for the task needs some time for what it does, not in a while
function expect_kept() {
	local i

	for ((i = 0; i < ATTEMPTS; i++)); do
		[[ $(cat /sys/module/$TAIL/refcnt) -gt 0 ]] ||
			fail "$TAIL can be removed while a task runs its code"
		sleep $RETRY_INTERVAL
	done
}

function stop_spinner() {
	write "$TARGET_DIR/spin" 0
	touch "$CORE_TMP/stop"
	expect_all_end
}

# expect_tried(state, message) - the transition is over, with this message. Or, if
# nobody knows what is on the stack of a task that was interrupted in the kernel,
# all but one have left the state. On loongarch nobody knows what is on that of an
# idle task, which moves when its processor has nothing else to do.
function expect_tried() {
	case $(uname -m) in
	x86_64)
		expect_soon "all tasks moved" '[[ -z "$(tasks_in_state '$1')" ]]'
		expect_soon "transition over" "[[ -z '$2' ]] || log_has '$2'"
		;;
	loongarch64)
		expect_soon "all tasks moved" '[[ -z "$(tasks_in_state '$1')" ]]'
		;;
	*)
		expect_soon "all but one task moved" \
			'[[ "$(tasks_in_state '$1')" =~ ^[0-9]+$ ]]'
		;;
	esac
}

# Whoever starts a transition that nobody holds up also ends it, and then waits
# for the task: both cases have somebody else do that.

function disabled() {
	start_spinner
	write "$SYSFS_KLP_DIR/$TAIL/enabled" 0 &
	expect_soon "transition" 'log_has "starting unpatching transition"'
	expect_tried 1 ""
	expect_kept
	stop_spinner
	expect_gone $TAIL
	unload_lp $TAIL
	unload_mod $TARGET
}

function replaced() {
	start_spinner
	load_lp $REPLACE functions=busy replace=1 &
	expect_soon "transition" 'log_has "starting patching transition"'
	expect_tried 0 "patching complete"
	expect_kept
	stop_spinner
	expect_gone $TAIL
	unload_lp $TAIL
	disable_lp $REPLACE
	unload_lp $REPLACE
	unload_mod $TARGET
}

[[ "$(uname -v)" == *PREEMPT* ]] || skip "needs a kernel that preempts its own code"

core_setup 2
core_case "disabled: the module stays until the task has left" disabled
core_case "replaced: the module stays until the task has left" replaced
core_finish
