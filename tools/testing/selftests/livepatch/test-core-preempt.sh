#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A task that is preempted when the ftrace handler has chosen a version for it,
# and before it is there. Nothing but the call is on its stack, and that is
# bound for the version: it must not be moved, and the version must not go.

. $(dirname $0)/functions.sh
. $(dirname $0)/core-functions.sh

STACK=test_klp_core_stack
TRACER=test_klp_core_tracer

# start_victim() - a task is on its way to core_target_version(), and will not
# get a CPU before end_victim(). Sets VICTIM.
function start_victim() {
	local go="$CORE_TMP/go" hog="$CORE_TMP/hog" ran

	rm -f "$go" "$hog" "$hog.there"
	mknod "$go" p
	mknod "$hog" p
	taskset -c 1 bash -c "read -r < $go; exec cat $TARGET_DIR/version" > "$CORE_TMP/answer" &
	VICTIM=$!
	remember $VICTIM
	# Once it is there nobody else runs on its CPU, until it waits.
	taskset -c 1 chrt -f 50 bash -c ": > $hog.there; read -r < $hog; while :; do :; done" &
	HOG=$!
	remember $HOG
	taskset -pc 0 $BASHPID > /dev/null
	log "% insmod test_modules/$TRACER.ko kind=hold functions=core_target_version"
	insmod "test_modules/$TRACER.ko" kind=hold functions=core_target_version \
		victim=$VICTIM || fail "insmod $TRACER"
	expect_soon "the hog is there" '[[ -e '"$hog"'.there ]]'
	echo > "$go"
	expect_soon "the victim is in the call" \
		'[[ $(cat /sys/module/$TRACER/parameters/calls) == 1,* ]]'
	expect_soon "the hog waits" '[[ $(state_of $HOG) == S ]]'
	echo > "$hog"
	expect_soon "the hog wants the CPU" '[[ $(state_of $HOG) == R ]]'
	ran=$(cpu_time $HOG)
	echo 1 > /sys/module/$TRACER/parameters/release
	expect_soon "the hog has the CPU" '[[ $(cpu_time $HOG) -gt '$ran' ]]'
}

# state_of(pid), cpu_time(pid) - as /proc/PID/stat has them
function state_of() {
	awk '{ sub(/.*\) /, ""); print $1 }' "/proc/$1/stat"
}

function cpu_time() {
	awk '{ sub(/.*\) /, ""); print $12 }' "/proc/$1/stat"
}

function end_victim() {
	kill -KILL $HOG
	wait $HOG 2> /dev/null
	expect_end $VICTIM
	expect_end $BESIDE || fail "what was begun beside the hog failed"
}

# beside_hog(command...) - begin it: it may be one that waits for the hog's CPU
function beside_hog() {
	"$@" &
	BESIDE=$!
	remember $BESIDE
}

# is_on_the_way() - and that is what the Rust core says of the victim, unless the
# unwinder refuses a task that was interrupted
function is_on_the_way() {
	local reason="in_trampoline" file=/sys/kernel/debug/livepatch/transition

	core_is_rust || return 0
	[[ $(uname -m) == x86_64 ]] || reason="in_trampoline|unreliable"
	expect_soon "the victim is on its way" \
		"grep -Eq '^$VICTIM	.*	($reason)	' $file"
}

# Nothing is patched yet, so the version that it has chosen is the original.
function patched() {
	load_mod $TARGET
	start_victim
	beside_hog load_lp_nowait ${STACK}1
	only_waits_for $VICTIM 0
	expect_blocked ${STACK}1 1
	is_on_the_way
	end_victim
	expect "the version that was chosen" 0 "$(cat "$CORE_TMP/answer")"
	end_transition ${STACK}1
	unload_mod $TRACER
	expect "version" 1 "$(target version)"
	disable_lp ${STACK}1
	unload_lp ${STACK}1
	unload_mod $TARGET
}

function disabled() {
	load_mod $TARGET
	load_lp ${STACK}1
	start_victim
	beside_hog write "$SYSFS_KLP_DIR/${STACK}1/enabled" 0
	only_waits_for $VICTIM 1
	expect_blocked ${STACK}1 0
	is_on_the_way
	end_victim
	expect "the version that was chosen" 1 "$(cat "$CORE_TMP/answer")"
	expect_gone ${STACK}1
	unload_mod $TRACER
	expect_versions 0 0
	unload_lp ${STACK}1
	unload_mod $TARGET
}

function stacked() {
	load_mod $TARGET
	load_lp ${STACK}1
	start_victim
	beside_hog load_lp_nowait ${STACK}2
	only_waits_for $VICTIM 0
	expect_blocked ${STACK}2 1
	is_on_the_way
	end_victim
	expect "the version that was chosen" 1 "$(cat "$CORE_TMP/answer")"
	end_transition ${STACK}2
	unload_mod $TRACER
	expect "version" 2 "$(target version)"
	disable_lp ${STACK}2
	unload_lp ${STACK}2
	disable_lp ${STACK}1
	unload_lp ${STACK}1
	unload_mod $TARGET
}

core_setup 3
allow_hogs
core_case "preempted on the way to the original" patched
core_case "preempted on the way to a version that goes" disabled
core_case "preempted on the way to a version below a new one" stacked
core_finish
