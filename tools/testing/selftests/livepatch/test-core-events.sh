#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What a transition tells those who do not ask all the time: who polls the
# attribute is woken, and tracepoints say which task was moved by what, which
# one was not, and what became of modules.

. $(dirname $0)/functions.sh
. $(dirname $0)/core-functions.sh

BUSY=test_klp_core_busy
INSTANCE="$SYSFS_TRACING_DIR/instances/test_klp_core"

# trace_events() - from here on, by themselves; until the end of the case
function trace_events() {
	mkdir "$INSTANCE" || fail "cannot make $INSTANCE"
	trap 'rmdir "$INSTANCE" 2> /dev/null' EXIT
	# At 64 bytes, there is room for 30,000.
	echo 2048 > "$INSTANCE/buffer_size_kb"
	echo 1 > "$INSTANCE/events/livepatch/enable" ||
		fail "there are no events of livepatch"
}

# events(pattern) - what was traced and matches, without the time
function events() {
	sed -n 's/.*: \(klp_[a-z_]*: .*\)/\1/p' "$INSTANCE/trace" |
		grep -E -- "$1"
}

# expect_event(pattern)
function expect_event() {
	expect_soon "event $1" "[[ -n \"\$(events '$1')\" ]]"
}

function end_trace() {
	rmdir "$INSTANCE" || fail "cannot remove $INSTANCE"
}

# transitions() - where each one went, in one line
function transitions() {
	echo $(events "^klp_transition_.* patch=$BUSY " |
		sed 's/klp_transition_\(.*\): .*target=\(.*\)/\1 \2/')
}

# says(lines) - what has the poller printed?
function says() {
	[[ "$(echo $(cat "$CORE_TMP/poll"))" == "$1" ]]
}

function polled() {
	local poller

	load_mod $TARGET
	start_sleeper
	load_lp_nowait $BUSY
	expect_blocked $BUSY 1
	./test_klp-poll "$SYSFS_KLP_DIR/$BUSY/transition" > "$CORE_TMP/poll" &
	poller=$!
	remember $poller
	expect_soon "the first look" 'says "1"'
	release_sleepers
	expect_soon "woken by the end" 'says "1 0"'
	start_sleeper
	write "$SYSFS_KLP_DIR/$BUSY/enabled" 0
	expect_soon "woken by a start" 'says "1 0 1"'
	release_sleepers
	expect_gone $BUSY
	# It may have noticed that the file is gone.
	kill $poller 2> /dev/null
	wait $poller
	unload_lp $BUSY
	unload_mod $TARGET
}

function traced() {
	local blocked="reason=in_function func=core_target_busy"

	load_mod $TARGET
	start_sleeper
	trace_events
	load_lp_nowait $BUSY
	only_waits_for $SLEEPER 0
	expect_event "^klp_task_blocked: comm=cat pid=$SLEEPER $blocked\$"
	expect "transitions" "start patched" "$(transitions)"
	expect "the sleeper moved" "" \
		"$(events "^klp_task_switched: .* pid=$SLEEPER ")"
	release_sleepers
	end_transition $BUSY
	expect "transitions" "start patched complete patched" "$(transitions)"
	expect_event "^klp_task_switched: comm=cat pid=$SLEEPER via=(user|stack)\$"
	expect_event "^klp_task_switched: comm=swapper/[0-9]* pid=0 via=(idle|stack)\$"
	expect_event "^klp_task_switched: comm=kthreadd pid=2 via=stack\$"
	disable_lp $BUSY
	expect "transitions" "start patched complete patched start unpatched complete unpatched" \
		"$(transitions)"
	end_trace
	unload_lp $BUSY
	unload_mod $TARGET
}

function traced_reversal() {
	load_mod $TARGET
	start_sleeper
	trace_events
	load_lp_nowait $BUSY
	only_waits_for $SLEEPER 0
	write "$SYSFS_KLP_DIR/$BUSY/enabled" 0
	expect_gone $BUSY
	expect "transitions" "start patched start unpatched complete unpatched" \
		"$(transitions)"
	end_trace
	release_sleepers
	unload_lp $BUSY
	unload_mod $TARGET
}

function traced_force() {
	load_mod $TARGET
	start_sleeper
	trace_events
	load_lp_nowait $BUSY
	only_waits_for $SLEEPER 0
	write "$SYSFS_KLP_DIR/$BUSY/force" 1
	end_transition $BUSY
	expect "transitions" "start patched force patched complete patched" \
		"$(transitions)"
	end_trace
	release_sleepers
	disable_lp $BUSY
	unload_lp $BUSY
	unload_mod $TARGET
}

function traced_cpu() {
	load_mod $TARGET
	write "$CPU1_ONLINE" 0
	trace_events
	load_lp $BUSY
	expect_event "^klp_task_switched: comm=swapper/1 pid=0 via=offline\$"
	end_trace
	write "$CPU1_ONLINE" 1
	disable_lp $BUSY
	unload_lp $BUSY
	unload_mod $TARGET
}

function traced_module() {
	load_mod $TARGET
	load_lp $BUSY
	trace_events
	unload_mod $TARGET
	load_mod $TARGET
	expect "modules" "klp_object: patch=$BUSY object=$TARGET op=going err=0
klp_object: patch=$BUSY object=$TARGET op=coming err=0" \
		"$(events "^klp_object: ")"
	end_trace
	disable_lp $BUSY
	unload_lp $BUSY
	unload_mod $TARGET
}

# A function of it cannot be traced, and so not be patched.
function traced_refusal() {
	local patch=test_klp_core_param1

	load_lp $patch functions=cmdline,version,notrace
	trace_events
	insmod_fails $TARGET "Invalid parameters"
	expect "modules" "klp_object: patch=$patch object=$TARGET op=coming err=-22" \
		"$(events "^klp_object: ")"
	end_trace
	disable_lp $patch
	unload_lp $patch
}

[[ -d "$SYSFS_TRACING_DIR/events/livepatch" ]] ||
	skip "this kernel has no events of livepatch"
core_setup 7
core_case "who polls transition is woken by its start and by its end" polled
core_case "events of a transition that a task holds up" traced
core_case "events of one that is reversed" traced_reversal
core_case "events of one that is forced" traced_force
core_case "the event of a CPU that is offline" traced_cpu
core_case "events of a module that goes and comes" traced_module
core_case "the event of a module that is refused" traced_refusal
core_finish
