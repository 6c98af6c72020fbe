#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# /sys/kernel/debug/livepatch of the core in Rust: the very task that holds a
# transition up, and where it is; the last transitions; all patches with what
# each version is there for.

. $(dirname $0)/functions.sh
. $(dirname $0)/core-functions.sh

BUSY=test_klp_core_busy
STACK=test_klp_core_stack
DIR="$SYSFS_DEBUG_DIR/livepatch"

# header(name) - of the transition
function header() {
	sed -n "s/^$1 //p" "$DIR/transition"
}

# row(task) - what is said of it, but for the name
function row() {
	awk -F '\t' -v OFS=' ' -v task="$1" '$1 == task { print $2, $4, $5, $6 }' \
		"$DIR/transition"
}

# expect_row(task, row)
function expect_row() {
	expect_soon "task $1 is: $2" "row $1 | grep -Exq '$2'"
}

function idle() {
	expect "transition" "" "$(cat "$DIR/transition")"
	expect "mode" "400" "$(stat -c %a "$DIR/transition")"
	expect "mode" "400" "$(stat -c %a "$DIR/history")"
	expect "mode" "400" "$(stat -c %a "$DIR/patches")"
	expect "patches" "version 1" "$(cat "$DIR/patches")"
}

function sleeper() {
	load_mod $TARGET
	start_sleeper
	load_lp_nowait $BUSY
	only_waits_for $SLEEPER 0
	expect_row $SLEEPER "$SLEEPER user on_old $TARGET:core_target_busy\\+0x[0-9a-f]+"
	expect "name" cat "$(awk -F '\t' -v task=$SLEEPER '$1 == task { print $7 }' \
		"$DIR/transition")"
	expect "version" 1 "$(header version)"
	expect "patch" $BUSY "$(header patch)"
	expect "target" patched "$(header target)"
	expect "forced" 0 "$(header forced)"
	expect "left" 1 "$(header left)"
	expect "lines of tasks" 1 "$(sed '1,/^$/d' "$DIR/transition" | wc -l)"
	[[ $(header tasks) -gt $(header left) ]] || fail "tasks: $(header tasks)"
	[[ $(header tries) -gt 0 ]] || fail "tries: $(header tries)"

	# It is in the old function, which is in nobody's way now.
	write "$SYSFS_KLP_DIR/$BUSY/enabled" 0
	expect_gone $BUSY
	expect "transition" "" "$(cat "$DIR/transition")"
	release_sleepers
	unload_lp $BUSY
	unload_mod $TARGET
}

function new_code() {
	load_mod $TARGET
	load_lp $BUSY
	start_sleeper
	write "$SYSFS_KLP_DIR/$BUSY/enabled" 0
	only_waits_for $SLEEPER 1
	expect_row $SLEEPER "$SLEEPER user on_new $TARGET:core_target_busy\\+0x[0-9a-f]+"
	expect "target" unpatched "$(header target)"
	release_sleepers
	expect_gone $BUSY
	unload_lp $BUSY
	unload_mod $TARGET
}

function kthread() {
	local task

	load_mod $TARGET
	start_kthread_sleeper
	load_lp_nowait $BUSY
	expect_soon "one task is left" '[[ "$(header left)" == 1 ]]'
	task=$(tasks_in_state 0)
	expect_row $task "$task kthread on_old $TARGET:core_target_busy\\+0x[0-9a-f]+"
	release_sleepers
	end_transition $BUSY
	disable_lp $BUSY
	unload_lp $BUSY
	unload_mod $TARGET
}

# Now and then it is preempted, and then its stack is looked at.
function spinner() {
	trap 'echo 0 > "$TARGET_DIR/spin"' EXIT
	load_mod $TARGET
	write "$TARGET_DIR/spin" 1
	expect_soon "spinner" '[[ $(target spin) != -1 ]]'
	load_lp_nowait $BUSY
	expect_soon "one task is left" '[[ "$(header left)" == 1 ]]'
	expect_row $(tasks_in_state 0) "[0-9]+ kthread running -"
	expect "name" core_spinner "$(tail -n 1 "$DIR/transition" | cut -f 7)"
	[[ "$(tail -n 1 "$DIR/transition" | cut -f 3)" =~ ^([0-9]+|-)$ ]] ||
		fail "cpu: $(tail -n 1 "$DIR/transition")"
	write "$TARGET_DIR/spin" 0
	end_transition $BUSY
	disable_lp $BUSY
	unload_lp $BUSY
	unload_mod $TARGET
}

# 256 are listed, and all are counted.
function many() {
	local i

	load_mod $TARGET
	for i in {1..300}; do
		cat "$TARGET_DIR/busy" > /dev/null &
		remember $!
	done
	expect_soon "sleepers" '[[ $(target sleepers) -eq 300 ]]'
	load_lp_nowait $BUSY
	expect_soon "300 are left" '[[ "$(header left)" == 300 ]]'
	expect "lines of tasks" 257 "$(sed '1,/^$/d' "$DIR/transition" | wc -l)"
	expect "the last line" "more 44" "$(tail -n 1 "$DIR/transition")"
	release_sleepers
	end_transition $BUSY
	disable_lp $BUSY
	unload_lp $BUSY
	unload_mod $TARGET
}

# last(number) - the last transitions, without times
function last() {
	tail -n "$1" "$DIR/history" | cut -f 1,2,7,8 | tr '\t' ' '
}

function history() {
	load_mod $TARGET
	start_sleeper
	load_lp_nowait $BUSY
	only_waits_for $SLEEPER 0
	write "$SYSFS_KLP_DIR/$BUSY/enabled" 0
	expect_gone $BUSY
	expect "history" "$BUSY unpatched reversals=1 forced=0" "$(last 1)"
	unload_lp $BUSY
	load_lp_nowait $BUSY
	only_waits_for $SLEEPER 0
	write "$SYSFS_KLP_DIR/$BUSY/force" 1
	end_transition $BUSY
	release_sleepers
	disable_lp $BUSY
	expect_same "history" "$BUSY patched reversals=0 forced=1
$BUSY unpatched reversals=0 forced=0" "$(last 2)"
	unload_lp $BUSY
	unload_mod $TARGET
}

function history_is_short() {
	local i

	load_mod $TARGET
	for i in {1..9}; do
		load_lp $BUSY
		disable_lp $BUSY
		unload_lp $BUSY
	done
	expect "lines" 17 "$(wc -l < "$DIR/history")"
	expect "the oldest" "$BUSY patched reversals=0 forced=0" \
		"$(last 16 | head -n 1)"
	unload_mod $TARGET
}

# functions(patch) - what is said of them
function functions() {
	awk -F '\t' -v OFS=' ' -v patch="$1" '
		$1 != "" { on = $1 == patch; next }
		on { print $2, $3, $4 }' "$DIR/patches"
}

function patches() {
	load_mod $TARGET
	load_lp ${STACK}1
	load_lp ${STACK}2
	expect_same "functions of the older one" "vmlinux cmdline_proc_show,1 shadowed
$TARGET core_target_version,1 shadowed
$TARGET core_target_version2,1 active" "$(functions ${STACK}1)"
	expect_same "functions of the newer one" "vmlinux cmdline_proc_show,1 active
$TARGET core_target_version,1 active" "$(functions ${STACK}2)"
	expect_same "the patches" "version 1
${STACK}1 oneshot enabled order=1 replace=0 forced=0
${STACK}2 oneshot enabled order=2 replace=0 forced=0" \
		"$(grep -v $'^\t' "$DIR/patches" | tr '\t' ' ')"
	unload_mod $TARGET
	expect_same "functions without their module" "vmlinux cmdline_proc_show,1 active
$TARGET core_target_version,1 waiting" "$(functions ${STACK}2)"
	disable_lp ${STACK}2
	expect_same "functions" "vmlinux cmdline_proc_show,1 active
$TARGET core_target_version,1 waiting
$TARGET core_target_version2,1 waiting" "$(functions ${STACK}1)"
	disable_lp ${STACK}1
	unload_lp ${STACK}1
	unload_lp ${STACK}2
}

core_is_rust || skip "needs CONFIG_LIVEPATCH_RUST"
core_setup 9
core_case "no transition" idle
core_case "a task in the old function" sleeper
core_case "a task in the new function" new_code
core_case "a kernel thread" kthread
core_case "a task that runs all the time" spinner
core_case "more tasks than are listed" many
core_case "history of a reversed and of a forced one" history
core_case "history has sixteen lines" history_is_short
core_case "patches and what their versions are for" patches
core_finish
