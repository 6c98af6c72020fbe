#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Atomic replace that is reversed, refused or fails: nothing has changed, and
# the next attempt works.

. $(dirname $0)/functions.sh
. $(dirname $0)/core-functions.sh
. $(dirname $0)/core-replace-functions.sh

EBUSY="Device or resource busy"
EINVAL="Invalid parameters"
ENODEV="No such device"

function reversed() {
	local before enabled="$SYSFS_KLP_DIR/$P2/enabled"

	load_mod $TARGET
	load_lp $P1 functions=cmdline,version,busy
	load_lp $STACK2
	start_sleeper
	before=$(everything)
	start_log
	load_lp_nowait $P2 functions=version2 version=3 replace=1
	only_waits_for $SLEEPER 0
	expect_versions 0 3
	write "$enabled" 0
	expect_gone $P2
	unload_lp $P2
	expect_same "after the attempt" "$before" "$(everything)"
	expect_log "% insmod test_modules/$P2.ko functions=version2 version=3 replace=1
$(says_enabling $P2)
% echo 0 > $enabled
$(says_reversing_to_unpatching $P2)
$(says_disabled $P2)
% rmmod $P2"

	# Once more, back, and forth again: one sleeps here and one there.
	load_lp_nowait $P2 functions=version2,busy version=3 replace=1
	expect_soon "this shell switched" '[[ $(cat /proc/$BASHPID/patch_state) == 1 ]]'
	start_sleeper
	write "$enabled" 0
	expect_blocked $P2 0
	expect_soon "the old code" '[[ "$(target version) $(target version2)" == "2 0" ]]'
	expect /proc/cmdline "$STACK2: version 2" "$(cat /proc/cmdline)"
	write "$enabled" 1
	expect_blocked $P2 1
	expect_soon "the new code" '[[ "$(target version) $(target version2)" == "0 3" ]]'
	expect /proc/cmdline "$CMDLINE" "$(cat /proc/cmdline)"
	release_sleepers
	end_transition $P2
	expect_alone $P2
	expect_all_end
	expect "answer of the old function" 1 "$(cat "$CORE_TMP/busy.1")"
	expect "answer of the new function" 3 "$(cat "$CORE_TMP/busy.2")"
	expect "attached" "core_target_busy core_target_version2" "$(attached)"
	unload_lp $STACK2
	finish $P2 $P1
}

# Whoever comes between is refused, and nothing changes.
function busy() {
	local before

	load_mod $TARGET
	load_lp $STACK2
	load_lp $P1 functions=version2,busy
	start_sleeper
	load_lp_nowait $P2 functions=version version=2 replace=1
	only_waits_for $SLEEPER 0
	before=$(everything)
	start_log
	insmod_fails $P3 "$EBUSY" functions=cmdline,version,version2
	insmod_fails $P3 "$EBUSY" functions=cmdline replace=1
	insmod_fails $P3 "$EBUSY" replace=1
	expect_write_error "$SYSFS_KLP_DIR/$P1/enabled" 0 "$EBUSY"
	expect_write_error "$SYSFS_KLP_DIR/$STACK2/enabled" 0 "$EBUSY"
	logged | grep livepatch: && fail "the core has something to say"
	expect_same "after the attempts" "$before" "$(everything)"
	expect_blocked $P2 1
	release_sleepers
	end_transition $P2
	expect_alone $P2
	expect_versions 2 0
	unload_lp $STACK2
	unload_lp $P1
	load_lp $P3 functions=cmdline version=3 replace=1
	expect_alone $P3
	expect_versions 0 0
	finish $P3 $P2
}

# failing(error, parameters) - the replacement cannot be applied
function failing() {
	local error="$1"; shift
	local before

	load_mod $TARGET
	load_lp $P1 functions=cmdline,version,busy
	load_lp $STACK2
	before=$(everything)
	insmod_fails $P2 "$error" replace=1 version=3 "$@"
	expect_same "after the attempt" "$before" "$(everything)"
	# Nobody got stuck half way: an orderly replacement still works.
	load_lp $P2 replace=1 version=3 functions=version2
	expect_alone $P2
	expect_versions 0 3
	unload_lp $STACK2
	finish $P2 $P1
}

core_setup 5
core_case "reversed, and twice reversed" reversed
core_case "nobody else meanwhile" busy
core_case "a replacement whose callback fails" \
	failing "$ENODEV" functions=cmdline,version2 callbacks=1 pre_patch_fails=$TARGET
core_case "a replacement that cannot be attached" \
	failing "$EINVAL" functions=cmdline,version2,notrace
core_case "a replacement for an unknown function" \
	failing "$EINVAL" functions=cmdline,version2,unknown
core_finish
