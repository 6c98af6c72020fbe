#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Forced transitions. The module of a livepatch that was disabled by force
# cannot be removed any more (test_klp_core_force*, which no other script uses):
# it needs a fresh boot to be run again, and the lists have it at their end.

. $(dirname $0)/functions.sh
. $(dirname $0)/core-functions.sh

BUSY=test_klp_core_busy
FORCE=test_klp_core_force
FORCE_OP=test_klp_core_force_op
FORCE_PARAM=test_klp_core_force_param
P1=test_klp_core_param1
P2=test_klp_core_param2
P3=test_klp_core_param3

function says_forced() {
	echo "livepatch: forcing remaining tasks to the patched state"
}

function no_transition() {
	local file="$SYSFS_KLP_DIR/$BUSY/force"

	load_mod $TARGET
	load_lp $BUSY
	start_log
	write "$file" 0
	write "$file" n
	expect_write_error "$file" 1 "Invalid argument"
	expect_write_error "$file" 2 "Invalid argument"
	expect_write_error "$file" "" "Invalid argument"
	logged | grep livepatch: && fail "the core has something to say"
	expect "enabled" 1 "$(klp $BUSY enabled)"
	expect "transition" 0 "$(klp $BUSY transition)"
	expect_versions 1 0
	disable_lp $BUSY
	unload_lp $BUSY
	unload_mod $TARGET
}

function other_transition() {
	load_mod $TARGET
	load_lp test_klp_core_stack1
	start_sleeper
	load_lp_nowait $BUSY
	start_log
	expect_write_error "$SYSFS_KLP_DIR/test_klp_core_stack1/force" 1 \
		"Invalid argument"
	write "$SYSFS_KLP_DIR/$BUSY/force" 0
	logged | grep livepatch: && fail "the core has something to say"
	expect_blocked $BUSY 1
	release_sleepers
	end_transition $BUSY
	disable_lp $BUSY
	unload_lp $BUSY
	disable_lp test_klp_core_stack1
	unload_lp test_klp_core_stack1
	unload_mod $TARGET
}

# A livepatch that was enabled by force is like others, and can be disabled.
function forced_in() {
	load_mod $TARGET
	start_sleeper
	start_log
	load_lp_nowait $BUSY
	expect_blocked $BUSY 1
	write "$SYSFS_KLP_DIR/$BUSY/force" 1
	end_transition $BUSY
	expect "sleepers" 1 "$(target sleepers)"
	expect "enabled" 1 "$(klp $BUSY enabled)"
	expect_versions 1 0
	expect "tasks in transition" "" "$(tasks_in_state 0 1)"
	expect_log "% insmod test_modules/$BUSY.ko
$(says_enabling $BUSY)
% echo 1 > $SYSFS_KLP_DIR/$BUSY/force
$(says_forced)
$(says_enabled $BUSY)"
	release_sleepers
	expect_end $SLEEPER
	expect "answer of the old function" 0 "$(cat "$CORE_TMP/busy.1")"
	disable_lp $BUSY
	unload_lp $BUSY
	unload_mod $TARGET
}

# Nobody can know how long the sleeper runs the code of the livepatch: its
# module stays. The file goes away as soon as the transition ends.
function forced_out() {
	local found

	[[ ! -e /sys/module/$FORCE ]] ||
		fail "$FORCE is pinned by an earlier run: needs a fresh boot"

	load_mod $TARGET
	load_lp $FORCE
	start_sleeper
	start_log
	write "$SYSFS_KLP_DIR/$FORCE/enabled" 0
	expect_blocked $FORCE 0
	write "$SYSFS_KLP_DIR/$FORCE/force" 1
	expect_gone $FORCE
	expect "sleepers" 1 "$(target sleepers)"
	expect_versions 0 0
	expect "tasks in transition" "" "$(tasks_in_state 0 1)"
	expect_log "% echo 0 > $SYSFS_KLP_DIR/$FORCE/enabled
$(says_disabling $FORCE)
% echo 1 > $SYSFS_KLP_DIR/$FORCE/force
$(says_forced)
$(says_disabled $FORCE)"

	release_sleepers
	expect_end $SLEEPER
	expect "answer of the new function" 1 "$(cat "$CORE_TMP/busy.1")"

	# A whole life of another one, and all queued work is done.
	load_lp $BUSY
	expect_versions 1 0
	disable_lp $BUSY
	unload_lp $BUSY
	expect_versions 0 0

	expect "refcnt" 1 "$(cat /sys/module/$FORCE/refcnt)"
	found=$(rmmod $FORCE 2>&1) && fail "$FORCE is removed"
	[[ "$found" == *" is in use" ]] || fail "rmmod $FORCE: $found"
	unload_mod $TARGET
}

# A task sleeps in the first livepatch, the second one is forced in, a third one
# replaces both: the module of the first one has to stay while the task is there.
function replaced_after_force() {
	load_mod $TARGET
	load_lp $P1 functions=busy version=1
	start_sleeper
	load_lp_nowait $P2 functions=busy version=2
	only_waits_for $SLEEPER 0
	write "$SYSFS_KLP_DIR/$P2/force" 1
	end_transition $P2

	load_lp_nowait $P3 functions=version version=3 replace=1
	only_waits_for $SLEEPER 0
	expect_blocked $P3 1
	expect_in_use $P1
	release_sleepers
	expect_end $SLEEPER
	expect "answer of the first function" 1 "$(cat "$CORE_TMP/busy.1")"
	end_transition $P3
	expect_gone $P1
	expect_gone $P2
	expect_versions 3 0
	expect_soon "$P1 removed" 'rmmod $P1 2> /dev/null'
	expect_soon "$P2 removed" 'rmmod $P2 2> /dev/null'
	disable_lp $P3
	unload_lp $P3
	unload_mod $TARGET
}

function force_a_replacement() {
	load_mod $TARGET
	load_lp $FORCE_PARAM functions=busy version=1
	start_sleeper
	load_lp_nowait $P3 functions=version version=3 replace=1
	only_waits_for $SLEEPER 0
	write "$SYSFS_KLP_DIR/$P3/force" 1
	end_transition $P3
	expect_gone $FORCE_PARAM
	expect_versions 3 0
	release_sleepers
	expect_end $SLEEPER
	expect "answer of the replaced function" 1 "$(cat "$CORE_TMP/busy.1")"
	disable_lp $P3
	unload_lp $P3
	expect "refcnt" 1 "$(cat /sys/module/$FORCE_PARAM/refcnt)"
	expect_in_use $FORCE_PARAM
	unload_mod $TARGET
}

# op(operation) - of the registered livepatch
function op() {
	write "$SYSFS_DEBUG_DIR/$FORCE_OP" "$1"
}

# A registered livepatch that was forced out can be enabled again. Its module
# stays, but gets no more references each time.
function registered_forced_out() {
	local round

	load_mod $TARGET
	insmod test_modules/$FORCE_OP.ko || fail "insmod $FORCE_OP"
	op register
	op enable
	end_transition $FORCE_OP
	start_sleeper
	op disable
	only_waits_for $SLEEPER 1
	write "$SYSFS_KLP_DIR/$FORCE_OP/force" 1
	end_transition $FORCE_OP
	expect "enabled" 0 "$(klp $FORCE_OP enabled)"
	expect_versions 0 0
	expect "refcnt" 1 "$(cat /sys/module/$FORCE_OP/refcnt)"
	expect_in_use $FORCE_OP

	for round in 1 2 3; do
		op enable
		end_transition $FORCE_OP
		expect_versions 9 0
		expect "refcnt" 1 "$(cat /sys/module/$FORCE_OP/refcnt)"
		[[ $round -gt 1 ]] || release_sleepers
		op disable
		end_transition $FORCE_OP
		expect_versions 0 0
		expect "refcnt" 1 "$(cat /sys/module/$FORCE_OP/refcnt)"
	done
	expect_end $SLEEPER
	expect "answer of the new function" 9 "$(cat "$CORE_TMP/busy.1")"

	op unregister
	[[ ! -e "$SYSFS_KLP_DIR/$FORCE_OP" ]] || fail "it is still in sysfs"
	expect_in_use $FORCE_OP
	start_log
	expect_write_error "$SYSFS_DEBUG_DIR/$FORCE_OP" register \
		"Device or resource busy"
	expect_log "% echo register > $SYSFS_DEBUG_DIR/$FORCE_OP
livepatch: patch '$FORCE_OP' is still being removed, or was by force"
	unload_mod $TARGET
}

CASES=6
if core_is_rust; then
	CASES=7
fi
core_setup $CASES
core_case "force without a transition" no_transition
core_case "force on another livepatch than the one in transition" other_transition
core_case "forced to be enabled" forced_in
core_case "forced to be disabled: the module stays" forced_out
core_case "replaced when another one was forced over it" replaced_after_force
core_case "a replacement is forced: what is replaced stays" force_a_replacement
# Only the Rust core has registered livepatches.
if core_is_rust; then
	core_case "a registered one is forced out" registered_forced_out
fi
core_finish
