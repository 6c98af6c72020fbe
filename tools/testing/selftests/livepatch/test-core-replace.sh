#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Atomic replace: what the new livepatch has no function for goes back to the
# original, by nops that exist as long as the transition takes, and nothing
# remains of the old livepatches.

. $(dirname $0)/functions.sh
. $(dirname $0)/core-functions.sh
. $(dirname $0)/core-replace-functions.sh

ROUNDS=3

function nops() {
	load_mod $TARGET
	load_lp $P1 functions=cmdline,version,version2,busy
	expect_versions 1 1
	start_sleeper
	start_log
	load_lp_nowait $P2 functions=version version=2 replace=1
	expect_blocked $P2 1
	only_waits_for $SLEEPER 0
	expect_blocked $P2 1
	expect "replace" 1 "$(klp $P2 replace)"
	expect_directories $P2 vmlinux vmlinux/cmdline_proc_show,1 $TARGET \
		$TARGET/core_target_version,1 $TARGET/core_target_version2,1 \
		$TARGET/core_target_busy,1
	expect "patched of the kernel" 1 "$(klp $P2 vmlinux/patched)"
	expect "patched of the module" 1 "$(klp $P2 $TARGET/patched)"
	expect "patches" "$P1 $P2" "$(echo $(ls "$SYSFS_KLP_DIR"))"
	expect "enabled of the old one" 1 "$(klp $P1 enabled)"
	expect "order of the old one" 1 "$(klp $P1 stack_order)"
	expect "order of the new one" 2 "$(klp $P2 stack_order)"
	expect_in_use $P1
	# This task has been switched.
	expect_versions 2 0
	expect /proc/cmdline "$CMDLINE" "$(cat /proc/cmdline)"

	release_sleepers
	end_transition $P2
	expect_end $SLEEPER
	expect "answer of the sleeper" 1 "$(cat "$CORE_TMP/busy.1")"
	expect_alone $P2
	expect_directories $P2 $TARGET $TARGET/core_target_version,1
	expect "attached" core_target_version "$(attached)"
	expect_versions 2 0
	expect /proc/cmdline "$CMDLINE" "$(cat /proc/cmdline)"
	expect_log "% insmod test_modules/$P2.ko functions=version version=2 replace=1
$(says_enabling $P2)
% release the sleepers
$(says_enabled $P2)"
	unload_lp $P1
	# Nobody patches it any more, so nobody is kept waiting.
	start_sleeper
	disable_lp $P2
	expect "sleepers" 1 "$(target sleepers)"
	unload_lp $P2
	release_sleepers
	unload_mod $TARGET
}

# The nops are gone before the modules come.
function late_after() {
	load_lp $P1 functions=cmdline,version,version2,show
	load_lp $P2 functions=version version=2 replace=1
	expect_alone $P2
	expect_directories $P2 $TARGET $TARGET/core_target_version,1
	expect /proc/cmdline "$CMDLINE" "$(cat /proc/cmdline)"
	start_log
	load_mod $TARGET
	load_mod $OTHER
	expect_log "% insmod test_modules/$TARGET.ko
livepatch: applying patch '$P2' to loading module '$TARGET'
% insmod test_modules/$OTHER.ko
$OTHER: test_klp_mod_target_init"
	expect_versions 2 0
	expect_other "$OTHER: original output"
	expect "attached" core_target_version "$(attached)"
	finish $P2 $P1
}

# other_comes(patches) - and these are applied, in this order
function other_comes() {
	local patch says="% insmod test_modules/$OTHER.ko"

	start_log
	load_mod $OTHER
	for patch in "$@"; do
		says+="
livepatch: applying patch '$patch' to loading module '$OTHER'"
		expect "patched of $patch" 1 "$(klp $patch $OTHER/patched)"
	done
	expect_log "$says
$OTHER: test_klp_mod_target_init"
	grep -qw test_klp_mod_target_show "$SYSFS_TRACING_DIR/enabled_functions" ||
		fail "nothing is attached in $OTHER"
}

# other_goes(patches)
function other_goes() {
	local patch says="% rmmod $OTHER
$OTHER: test_klp_mod_target_exit"

	start_log
	unload_mod $OTHER
	for patch in "$@"; do
		says+="
livepatch: reverting patch '$patch' on unloading module '$OTHER'"
		expect "patched of $patch" 0 "$(klp $patch $OTHER/patched)"
	done
	expect_log "$says"
	grep -w test_klp_mod_target_show "$SYSFS_TRACING_DIR/enabled_functions" &&
		fail "something is attached that is not there"
}

# late_during(functions of the new livepatch, who answers in the other module)
function late_during() {
	load_mod $TARGET
	load_lp $P1 functions=version2,busy,show
	start_sleeper
	load_lp_nowait $P2 functions="$1" version=2 replace=1
	only_waits_for $SLEEPER 0
	expect "patched, not loaded" 0 "$(klp $P2 $OTHER/patched)"
	other_comes $P1 $P2
	expect_other "$2"
	expect_blocked $P2 1
	other_goes $P1 $P2
	expect_blocked $P2 1
	other_comes $P1 $P2
	expect_other "$2"
	expect_versions 2 0
	expect_blocked $P2 1
	release_sleepers
	end_transition $P2
	expect_alone $P2
	expect_versions 2 0
	expect_other "$2"
	if [[ "$1" == *show* ]]; then
		expect "attached" "core_target_version test_klp_mod_target_show" \
			"$(attached)"
		other_goes $P2
		other_comes $P2
		expect_other "$2"
	else
		expect "attached" core_target_version "$(attached)"
		expect_directories $P2 $TARGET $TARGET/core_target_version,1
		other_goes
	fi
	finish $P2 $P1
}

# The module goes during the transition and only comes back after it.
function gone_during() {
	load_mod $TARGET
	load_mod $OTHER
	load_lp $P1 functions=busy,show
	start_sleeper
	load_lp_nowait $P2 functions=version version=2 replace=1
	only_waits_for $SLEEPER 0
	expect_other "$OTHER: original output"
	other_goes $P1 $P2
	expect_directories $P2 $TARGET $TARGET/core_target_version,1 \
		$TARGET/core_target_busy,1 $OTHER $OTHER/test_klp_mod_target_show,1
	release_sleepers
	end_transition $P2
	expect_alone $P2
	expect_directories $P2 $TARGET $TARGET/core_target_version,1
	load_mod $OTHER
	expect_other "$OTHER: original output"
	expect "attached" core_target_version "$(attached)"
	finish $P2 $P1
}

# All of them at once, and the transition waits for who is in the lowest one.
function several() {
	load_mod $TARGET
	load_lp $P1 functions=cmdline,version,busy
	load_lp $STACK2
	load_lp $P3 functions=version2 version=3
	expect_versions 2 3
	start_sleeper
	load_lp_nowait $P2 functions=busy version=4 replace=1
	only_waits_for $SLEEPER 0
	expect_blocked $P2 1
	expect_directories $P2 vmlinux vmlinux/cmdline_proc_show,1 $TARGET \
		$TARGET/core_target_version,1 $TARGET/core_target_version2,1 \
		$TARGET/core_target_busy,1
	expect "stack_order" 4 "$(klp $P2 stack_order)"
	expect "number of patches" 4 "$(ls "$SYSFS_KLP_DIR" | wc -l)"
	expect_versions 0 0
	expect /proc/cmdline "$CMDLINE" "$(cat /proc/cmdline)"
	release_sleepers
	end_transition $P2
	expect_end $SLEEPER
	expect "answer of the sleeper" 1 "$(cat "$CORE_TMP/busy.1")"
	expect_alone $P2
	expect_directories $P2 $TARGET $TARGET/core_target_busy,1
	expect "attached" core_target_busy "$(attached)"
	unload_lp $STACK2
	unload_lp $P1
	start_sleeper
	release_sleepers
	expect_end $SLEEPER
	expect "answer of the next sleeper" 4 "$(cat "$CORE_TMP/busy.1")"
	finish $P2 $P3
}

# A livepatch without any function puts everything back.
function empty() {
	load_mod $TARGET
	load_lp $P1 functions=cmdline,version,version2,show
	load_lp $P2 replace=1
	expect_alone $P2
	expect_directories $P2
	expect "attached" "" "$(attached)"
	expect_versions 0 0
	expect /proc/cmdline "$CMDLINE" "$(cat /proc/cmdline)"
	load_mod $OTHER
	expect_other "$OTHER: original output"
	finish $P2 $P1
}

# A position of 0 and one of 1 mean the same function: it gets no nop. Two
# functions of one name are two.
function positions() {
	local second

	load_mod $TARGET
	load_lp $P3 functions=dup2 version=2
	second=$(target dup)
	expect "only the second one" 1 "$(echo "$second" | grep -cxE '1 2|2 2')"
	disable_lp $P3
	unload_lp $P3

	load_lp $P1 functions=version,dup1,dup2,busy version=7
	expect "both" "7 7" "$(target dup)"
	start_sleeper
	load_lp_nowait $P2 functions=version,dup2 sympos=1 version=2 replace=1
	only_waits_for $SLEEPER 0
	expect_directories $P2 $TARGET $TARGET/core_target_version,1 \
		$TARGET/core_target_busy,1 $TARGET/core_target_dup,1 \
		$TARGET/core_target_dup,2
	expect "one is replaced, one put back" "$second" "$(target dup)"
	release_sleepers
	end_transition $P2
	expect_alone $P2
	expect_directories $P2 $TARGET $TARGET/core_target_version,1 \
		$TARGET/core_target_dup,2
	expect "one is replaced, one put back" "$second" "$(target dup)"
	unload_lp $P1

	# And from 1 to 0.
	load_lp $P3 functions=version version=3 replace=1
	expect_alone $P3
	expect_versions 3 0
	expect "both put back" "1 2" "$(target dup)"
	finish $P3 $P2
}

function back_and_forth() {
	local round

	load_mod $TARGET
	load_lp $P1 functions=cmdline,version2
	for ((round = 0; round < ROUNDS; round++)); do
		load_lp $P2 functions=version version=2 replace=1
		expect_versions 2 0
		expect /proc/cmdline "$CMDLINE" "$(cat /proc/cmdline)"
		expect_soon "rmmod" 'rmmod $P1 2> /dev/null'
		expect_alone $P2
		load_lp $P1 functions=cmdline,version2 replace=1
		expect_versions 0 1
		expect /proc/cmdline "$P1: version 1" "$(cat /proc/cmdline)"
		expect_soon "rmmod" 'rmmod $P2 2> /dev/null'
		expect_alone $P1
	done
	finish $P1
}

core_setup 9
core_case "functions go back to the original, by nops" nops
core_case "the modules of the nops come later" late_after
core_case "a module comes, goes and comes during the transition, then is original" \
	late_during version "$OTHER: original output"
core_case "a module comes, goes and comes during the transition, then is patched" \
	late_during version,show "$P2: version 2"
core_case "a module goes during the transition and comes later" gone_during
core_case "three livepatches are replaced at once" several
core_case "replaced by nothing" empty
core_case "positions 0, 1 and 2" positions
core_case "$ROUNDS times back and forth" back_and_forth
core_finish
