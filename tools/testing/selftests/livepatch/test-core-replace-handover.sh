#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Atomic replace: whose callbacks run, and what the new livepatch takes over from
# the old one: system states and shadow variables.

. $(dirname $0)/functions.sh
. $(dirname $0)/core-functions.sh
. $(dirname $0)/core-replace-functions.sh

EINVAL="Invalid parameters"

function callbacks() {
	load_mod $TARGET
	load_lp $P1 functions=cmdline,version callbacks=1
	start_log
	load_lp $P2 functions=cmdline,version2 callbacks=1 replace=1
	expect_alone $P2
	expect_log "% insmod test_modules/$P2.ko functions=cmdline,version2 callbacks=1 replace=1
$(with_callbacks "$(says_enabling $P2)" pre_patch $P2 vmlinux $TARGET)
$(with_callbacks "$(says_enabled $P2)" post_patch $P2 vmlinux $TARGET)"

	# Only nops in the target module, so no callbacks.
	start_log
	load_lp $P3 functions=cmdline callbacks=1 replace=1
	expect_alone $P3
	disable_lp $P3
	expect_log "% insmod test_modules/$P3.ko functions=cmdline callbacks=1 replace=1
$(with_callbacks "$(says_enabling $P3)" pre_patch $P3 vmlinux)
$(with_callbacks "$(says_enabled $P3)" post_patch $P3 vmlinux)
% echo 0 > $SYSFS_KLP_DIR/$P3/enabled
$(with_callbacks "$(says_disabling $P3)" pre_unpatch $P3 vmlinux)
$(with_callbacks "$(says_disabled $P3)" post_unpatch $P3 vmlinux)"
	unload_lp $P3
	unload_lp $P2
	unload_lp $P1
	unload_mod $TARGET
}

function callbacks_reversed() {
	load_mod $TARGET
	load_lp $P1 functions=cmdline,busy callbacks=1
	start_sleeper
	start_log
	load_lp_nowait $P2 functions=version callbacks=1 replace=1
	only_waits_for $SLEEPER 0
	write "$SYSFS_KLP_DIR/$P2/enabled" 0
	expect_gone $P2
	expect_log "% insmod test_modules/$P2.ko functions=version callbacks=1 replace=1
$(with_callbacks "$(says_enabling $P2)" pre_patch $P2 $TARGET)
% echo 0 > $SYSFS_KLP_DIR/$P2/enabled
$(says_reversing_to_unpatching $P2)
$(with_callbacks "$(says_disabled $P2)" post_unpatch $P2 $TARGET)"
	release_sleepers
	start_log
	disable_lp $P1
	expect_log "% echo 0 > $SYSFS_KLP_DIR/$P1/enabled
$(with_callbacks "$(says_disabling $P1)" pre_unpatch $P1 vmlinux $TARGET)
$(with_callbacks "$(says_disabled $P1)" post_unpatch $P1 vmlinux $TARGET)"
	unload_lp $P1
	unload_lp $P2
	unload_mod $TARGET
}

# As long as the transition runs, a module that goes or comes is the old
# livepatch's business, too.
function callbacks_module() {
	load_mod $TARGET
	load_mod $OTHER
	load_lp $P1 functions=busy,show callbacks=1
	start_sleeper
	load_lp_nowait $P2 functions=version,show version=2 callbacks=1 replace=1
	only_waits_for $SLEEPER 0
	start_log
	unload_mod $OTHER
	load_mod $OTHER
	expect_other "$P2: version 2"
	release_sleepers
	end_transition $P2
	expect_alone $P2
	unload_mod $OTHER
	expect_log "% rmmod $OTHER
$OTHER: test_klp_mod_target_exit
$P1: pre_unpatch: $OTHER
livepatch: reverting patch '$P1' on unloading module '$OTHER'
$P1: post_unpatch: $OTHER
livepatch: reverting patch '$P2' on unloading module '$OTHER'
$P2: post_unpatch: $OTHER
% insmod test_modules/$OTHER.ko
livepatch: applying patch '$P1' to loading module '$OTHER'
$P1: pre_patch: $OTHER
$P1: post_patch: $OTHER
livepatch: applying patch '$P2' to loading module '$OTHER'
$P2: pre_patch: $OTHER
$OTHER: test_klp_mod_target_init
% release the sleepers
$(with_callbacks "$(says_enabled $P2)" post_patch $P2 $TARGET $OTHER)
% rmmod $OTHER
$OTHER: test_klp_mod_target_exit
$P2: pre_unpatch: $OTHER
livepatch: reverting patch '$P2' on unloading module '$OTHER'
$P2: post_unpatch: $OTHER"
	finish $P2 $P1
}

# incompatible(patch, parameters)
function incompatible() {
	local before

	before=$(everything)
	start_log
	insmod_fails "$1" "$EINVAL" functions=version version=9 callbacks=1 "${@:2}"
	expect_log "% insmod test_modules/$1.ko functions=version version=9 callbacks=1 ${*:2}
livepatch: Livepatch patch ($1) is not compatible with the already installed livepatches."
	expect_same "after the attempt" "$before" "$(everything)"
}

# compatible(patch, version of the state before, parameters)
function compatible() {
	local patch="$1" before="$2"; shift 2

	start_log
	load_lp $patch functions=version version=5 callbacks=1 "$@"
	expect "state" "$patch: ${1/=/ }, before $before" \
		"$(logged | grep "^$patch: state ")"
	expect_versions 5 0
}

function states() {
	load_mod $TARGET
	compatible $P1 0 state=2
	incompatible $P2 state=1 replace=1
	incompatible $P2 replace=1
	incompatible $P2 state=1
	compatible $P2 2 state=3 replace=1
	expect_alone $P2
	unload_lp $P1

	# Now the state is that of the second one.
	incompatible $P1 state=2 replace=1
	incompatible $P1 state=2
	incompatible $P1 replace=1
	compatible $P3 3 state=3 replace=1
	expect_alone $P3
	finish $P3 $P2
}

# Only who replaces the others has to know about their states.
function states_of_several() {
	load_mod $TARGET
	compatible $P1 0 state=2
	load_lp $P2 functions=version2 version=4
	expect_versions 5 4
	incompatible $P3 replace=1
	incompatible $P3 state=1
	compatible $P3 2 state=3 replace=1
	expect_alone $P3
	unload_lp $P2
	unload_lp $P1
	disable_lp $P3

	# With the livepatches their states are gone.
	compatible $P1 0 state=1
	unload_lp $P3
	finish $P1
}

# expect_count(number)
function expect_count() {
	expect "count" "$1" "$(target version2)"
}

# The second livepatch goes on with what the first one has attached.
function shadow() {
	load_mod $TARGET
	load_lp $P1 functions=count version=1 callbacks=1 free_shadow=1
	expect_count 101
	expect_count 102
	start_log
	load_lp $P2 functions=count version=2 replace=1
	expect_alone $P2
	expect_count 103
	unload_lp $P1
	# This one knows nothing of it, and leaves it alone.
	load_lp $P3 functions=version version=3 replace=1
	expect_alone $P3
	expect_versions 3 0
	unload_lp $P2
	load_lp $P1 functions=count version=1 callbacks=1 free_shadow=1 replace=1
	expect_alone $P1
	expect_count 104
	unload_lp $P3
	logged | grep freed && fail "freed too early"
	disable_lp $P1
	expect_count 0
	expect "freed" "$P1: shadow variable freed at 104" "$(logged | grep freed)"
	unload_lp $P1

	start_log
	load_lp $P2 functions=count version=2 callbacks=1 free_shadow=1
	expect_count 201
	disable_lp $P2
	expect "freed" "$P2: shadow variable freed at 201" "$(logged | grep freed)"
	unload_lp $P2
	unload_mod $TARGET
}

core_setup 6
core_case "only the new livepatch's callbacks run" callbacks
core_case "callbacks when it is reversed" callbacks_reversed
core_case "callbacks for a module that goes and comes" callbacks_module
core_case "states: newer, the same, older, missing" states
core_case "states: of several livepatches, and of none" states_of_several
core_case "a shadow variable is handed on" shadow
core_finish
