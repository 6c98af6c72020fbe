#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Transitions which a task holds up because it sleeps in a function that is
# to be patched or unpatched: they wait, go on by themselves, and are reversed.

. $(dirname $0)/functions.sh
. $(dirname $0)/core-functions.sh

BUSY=test_klp_core_busy
ENABLED="$SYSFS_KLP_DIR/$BUSY/enabled"

function enable_waits() {
	load_mod $TARGET
	start_sleeper
	start_log
	load_lp_nowait $BUSY
	expect_blocked $BUSY 1
	expect "patched" 1 "$(klp $BUSY $TARGET/patched)"
	only_waits_for $SLEEPER 0
	expect_blocked $BUSY 1
	# The others already run the new code, and so do their children.
	expect_versions 1 0
	expect "patch_state of a child" 1 "$(cat /proc/self/patch_state)"

	release_sleepers
	end_transition $BUSY
	expect_end $SLEEPER
	expect "answer of the old function" 0 "$(cat "$CORE_TMP/busy.1")"
	expect "enabled" 1 "$(klp $BUSY enabled)"
	expect_log "% insmod test_modules/$BUSY.ko
$(says_enabling $BUSY)
% release the sleepers
$(says_enabled $BUSY)"

	disable_lp $BUSY
	unload_lp $BUSY
	unload_mod $TARGET
}

function disable_waits() {
	load_mod $TARGET
	load_lp $BUSY
	start_sleeper
	start_log
	write "$ENABLED" 0
	expect_blocked $BUSY 0
	expect "patched" 1 "$(klp $BUSY $TARGET/patched)"
	only_waits_for $SLEEPER 1
	expect_blocked $BUSY 0
	expect_versions 0 0
	expect "patch_state of a child" 0 "$(cat /proc/self/patch_state)"

	release_sleepers
	expect_gone $BUSY
	expect_end $SLEEPER
	expect "answer of the new function" 1 "$(cat "$CORE_TMP/busy.1")"
	expect_log "% echo 0 > $ENABLED
$(says_disabling $BUSY)
% release the sleepers
$(says_disabled $BUSY)"

	unload_lp $BUSY
	unload_mod $TARGET
}

# A kernel thread never returns to user space: it is switched while it sleeps
# elsewhere, or in schedule().
function kthread_waits() {
	load_mod $TARGET
	start_kthread_sleeper
	load_lp_nowait $BUSY
	expect_soon "one task remaining" '[[ "$(tasks_in_state 0)" =~ ^[0-9]+$ ]]'
	expect "who waits" core_sleeper "$(cat "/proc/$(tasks_in_state 0)/comm")"
	expect_blocked $BUSY 1
	release_sleepers
	end_transition $BUSY
	expect_soon "answer" '[[ $(target kthread) -ne -1 ]]'
	expect "answer of the old function" 0 "$(target kthread)"
	echo 0 > "$TARGET_DIR/kthread"

	start_kthread_sleeper
	write "$ENABLED" 0
	expect_soon "one task remaining" '[[ "$(tasks_in_state 1)" =~ ^[0-9]+$ ]]'
	expect_blocked $BUSY 0
	release_sleepers
	expect_gone $BUSY
	expect_soon "answer" '[[ $(target kthread) -ne -1 ]]'
	expect "answer of the new function" 1 "$(target kthread)"
	echo 0 > "$TARGET_DIR/kthread"
	unload_lp $BUSY
	unload_mod $TARGET
}

function reverse_enable() {
	load_mod $TARGET
	start_sleeper
	start_log
	load_lp_nowait $BUSY
	expect_blocked $BUSY 1
	only_waits_for $SLEEPER 0
	write "$ENABLED" 0
	expect_gone $BUSY
	expect "sleepers" 1 "$(target sleepers)"
	expect_versions 0 0
	unload_lp $BUSY
	expect_log "% insmod test_modules/$BUSY.ko
$(says_enabling $BUSY)
% echo 0 > $ENABLED
$(says_reversing_to_unpatching $BUSY)
$(says_disabled $BUSY)
% rmmod $BUSY"

	# Once more; the same task still sleeps.
	load_lp_nowait $BUSY
	expect_blocked $BUSY 1
	only_waits_for $SLEEPER 0
	release_sleepers
	end_transition $BUSY
	expect_versions 1 0
	disable_lp $BUSY
	unload_lp $BUSY
	unload_mod $TARGET
}

function reverse_disable() {
	load_mod $TARGET
	load_lp $BUSY
	start_sleeper
	start_log
	write "$ENABLED" 0
	expect_blocked $BUSY 0
	only_waits_for $SLEEPER 1
	write "$ENABLED" 1
	end_transition $BUSY
	expect "enabled" 1 "$(klp $BUSY enabled)"
	expect "sleepers" 1 "$(target sleepers)"
	expect_versions 1 0
	expect_log "% echo 0 > $ENABLED
$(says_disabling $BUSY)
% echo 1 > $ENABLED
$(says_reversing_to_patching $BUSY)
$(says_enabled $BUSY)"

	# The patch is as good as new.
	write "$ENABLED" 0
	expect_blocked $BUSY 0
	only_waits_for $SLEEPER 1
	release_sleepers
	expect_gone $BUSY
	expect_versions 0 0
	unload_lp $BUSY
	unload_mod $TARGET
}

# One task sleeps in the old function and one in the new: neither direction
# can end, so the transition is reversed as often as wanted.
# reverse_often(last) - and ends like this
function reverse_often() {
	local i expected

	load_mod $TARGET
	start_sleeper
	start_log
	load_lp_nowait $BUSY
	# The next one is a child of this shell, and runs what this shell runs.
	expect_soon "this shell switched" '[[ $(cat /proc/$BASHPID/patch_state) == 1 ]]'
	start_sleeper
	expected=$(says_enabling $BUSY)
	for i in 1 2 3 4 5; do
		write "$ENABLED" 0
		expect_blocked $BUSY 0
		expect_soon "back to the old code" '[[ $(target version) == 0 ]]'
		write "$ENABLED" 1
		expect_blocked $BUSY 1
		expect_soon "back to the new code" '[[ $(target version) == 1 ]]'
		expected+="
% echo 0 > $ENABLED
$(says_reversing_to_unpatching $BUSY)
% echo 1 > $ENABLED
$(says_reversing_to_patching $BUSY)"
	done
	expect_blocked $BUSY 1
	expect_log "% insmod test_modules/$BUSY.ko
$expected"
	expect "sleepers" 2 "$(target sleepers)"

	if [[ $1 == enabled ]]; then
		release_sleepers
		end_transition $BUSY
		expect_versions 1 0
		disable_lp $BUSY
	else
		write "$ENABLED" 0
		expect_blocked $BUSY 0
		release_sleepers
		expect_gone $BUSY
		expect_versions 0 0
	fi
	expect_all_end
	expect "answer of the old function" 0 "$(cat "$CORE_TMP/busy.1")"
	expect "answer of the new function" 1 "$(cat "$CORE_TMP/busy.2")"
	unload_lp $BUSY
	unload_mod $TARGET
}

function one_at_a_time() {
	load_mod $TARGET
	load_lp test_klp_core_stack2
	start_sleeper
	load_lp_nowait $BUSY
	start_log
	insmod_fails test_klp_core_stack1 "Device or resource busy"
	expect_write_error "$SYSFS_KLP_DIR/test_klp_core_stack2/enabled" 0 \
		"Device or resource busy"
	expect_log "% insmod test_modules/test_klp_core_stack1.ko
% echo 0 > $SYSFS_KLP_DIR/test_klp_core_stack2/enabled"
	expect "enabled of stack2" 1 "$(klp test_klp_core_stack2 enabled)"
	expect "transition of stack2" 0 "$(klp test_klp_core_stack2 transition)"
	expect "patches" "$BUSY test_klp_core_stack2" "$(echo $(ls "$SYSFS_KLP_DIR"))"
	grep -qw core_target_version2 "$SYSFS_TRACING_DIR/enabled_functions" &&
		fail "core_target_version2 is attached"
	expect /proc/cmdline "test_klp_core_stack2: version 2" "$(cat /proc/cmdline)"
	expect_blocked $BUSY 1
	release_sleepers
	end_transition $BUSY

	# And now it can.
	load_lp test_klp_core_stack1
	expect_versions 1 10
	disable_lp test_klp_core_stack1
	disable_lp $BUSY
	disable_lp test_klp_core_stack2
	unload_lp test_klp_core_stack1
	unload_lp $BUSY
	unload_lp test_klp_core_stack2
	unload_mod $TARGET
}

function bad_writes() {
	local value

	load_mod $TARGET
	load_lp $BUSY
	start_log
	for value in 1 y on; do
		expect_write_error "$ENABLED" $value "Invalid argument"
	done
	for value in 2 -1 x o "" " 0"; do
		expect_write_error "$ENABLED" "$value" "Invalid argument"
	done
	expect "enabled" 1 "$(klp $BUSY enabled)"
	expect "transition" 0 "$(klp $BUSY transition)"
	expect_versions 1 0
	logged | grep livepatch: && fail "the core has something to say"

	start_sleeper
	write "$ENABLED" n
	expect_blocked $BUSY 0
	expect_write_error "$ENABLED" 0 "Invalid argument"
	expect_write_error "$ENABLED" off "Invalid argument"
	expect_write_error "$ENABLED" 3 "Invalid argument"
	expect_blocked $BUSY 0
	release_sleepers
	expect_gone $BUSY

	unload_lp $BUSY
	unload_mod $TARGET
}

# The upper patch waits for those in the lower one's function, not for
# those in the original one.
function stacked() {
	load_mod $TARGET
	load_mod test_klp_mod_target
	load_lp $BUSY
	start_sleeper
	load_lp_nowait test_klp_core_two
	only_waits_for $SLEEPER 0
	expect_blocked test_klp_core_two 1
	release_sleepers
	end_transition test_klp_core_two
	expect_end $SLEEPER
	expect "answer of the lower patch" 1 "$(cat "$CORE_TMP/busy.1")"

	# A task in the upper patch's function does not hold up the lower one.
	start_sleeper
	disable_lp $BUSY
	unload_lp $BUSY
	expect_versions 0 2
	expect "sleepers" 1 "$(target sleepers)"

	# But it does hold up its own.
	write "$SYSFS_KLP_DIR/test_klp_core_two/enabled" 0
	only_waits_for $SLEEPER 1
	expect_blocked test_klp_core_two 0
	release_sleepers
	expect_gone test_klp_core_two
	expect_end $SLEEPER
	expect "answer of the upper patch" 2 "$(cat "$CORE_TMP/busy.1")"
	unload_lp test_klp_core_two
	unload_mod test_klp_mod_target
	unload_mod $TARGET
}

core_setup 10
core_case "enabling waits for a task in the old function" enable_waits
core_case "disabling waits for a task in the new function" disable_waits
core_case "a kernel thread in the function, both ways" kthread_waits
core_case "enabling is reversed while the task sleeps, and done again" reverse_enable
core_case "disabling is reversed while the task sleeps, and done again" reverse_disable
core_case "reversed many times, ends enabled" reverse_often enabled
core_case "reversed many times, ends disabled" reverse_often disabled
core_case "one transition at a time" one_at_a_time
core_case "enabled refuses the present state and garbage" bad_writes
core_case "a stacked livepatch waits for the one below it" stacked
core_finish
