#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Modules that go: the patched ones, and those of the livepatches.
#
# Patched modules that come (back) are tested by upstream's test-callbacks.sh
# until every core can do it.

. $(dirname $0)/functions.sh
. $(dirname $0)/core-functions.sh

STACK=test_klp_core_stack
TWO=test_klp_core_two
OTHER=test_klp_mod_target
ROUNDS=20

function target_goes() {
	load_mod $TARGET
	load_lp ${STACK}1
	start_log
	unload_mod $TARGET
	expect "patched of $TARGET" 0 "$(klp ${STACK}1 $TARGET/patched)"
	expect "patched of vmlinux" 1 "$(klp ${STACK}1 vmlinux/patched)"
	expect "functions" "core_target_version,1 core_target_version2,1 patched" \
		"$(echo $(ls "$SYSFS_KLP_DIR/${STACK}1/$TARGET"))"
	expect "enabled" 1 "$(klp ${STACK}1 enabled)"
	expect "transition" 0 "$(klp ${STACK}1 transition)"
	expect /proc/cmdline "${STACK}1: version 1" "$(cat /proc/cmdline)"
	grep -q core_target_ "$SYSFS_TRACING_DIR/enabled_functions" &&
		fail "a function of the removed module is attached"
	disable_lp ${STACK}1
	expect /proc/cmdline "$CMDLINE" "$(cat /proc/cmdline)"
	unload_lp ${STACK}1
	expect_log "% rmmod $TARGET
livepatch: reverting patch '${STACK}1' on unloading module '$TARGET'
% echo 0 > $SYSFS_KLP_DIR/${STACK}1/enabled
$(says_disabling ${STACK}1)
$(says_disabled ${STACK}1)
% rmmod ${STACK}1"

	# It comes back as it was.
	load_mod $TARGET
	expect_versions 0 0
	unload_mod $TARGET
}

function stacked_target_goes() {
	load_mod $TARGET
	load_lp ${STACK}1
	load_lp ${STACK}2
	load_lp ${STACK}3
	start_log
	unload_mod $TARGET
	expect_log "% rmmod $TARGET
livepatch: reverting patch '${STACK}1' on unloading module '$TARGET'
livepatch: reverting patch '${STACK}2' on unloading module '$TARGET'
livepatch: reverting patch '${STACK}3' on unloading module '$TARGET'"
	expect /proc/cmdline "${STACK}3: version 3" "$(cat /proc/cmdline)"
	disable_lp ${STACK}2
	disable_lp ${STACK}3
	expect /proc/cmdline "${STACK}1: version 1" "$(cat /proc/cmdline)"
	disable_lp ${STACK}1
	unload_lp ${STACK}1
	unload_lp ${STACK}2
	unload_lp ${STACK}3
}

function target_goes_while_enabling() {
	load_mod $TARGET
	load_mod $OTHER
	start_sleeper
	start_log
	load_lp_nowait $TWO
	expect_blocked $TWO 1
	unload_mod $OTHER
	expect_blocked $TWO 1
	expect "patched of $OTHER" 0 "$(klp $TWO $OTHER/patched)"
	expect "patched of $TARGET" 1 "$(klp $TWO $TARGET/patched)"
	release_sleepers
	end_transition $TWO
	expect_versions 0 2
	disable_lp $TWO
	unload_lp $TWO
	expect_log "% insmod test_modules/$TWO.ko
$(says_enabling $TWO)
% rmmod $OTHER
test_klp_mod_target: test_klp_mod_target_exit
livepatch: reverting patch '$TWO' on unloading module '$OTHER'
% release the sleepers
$(says_enabled $TWO)
% echo 0 > $SYSFS_KLP_DIR/$TWO/enabled
$(says_disabling $TWO)
$(says_disabled $TWO)
% rmmod $TWO"
	unload_mod $TARGET
}

function target_goes_while_disabling() {
	load_mod $TARGET
	load_mod $OTHER
	load_lp $TWO
	start_sleeper
	start_log
	write "$SYSFS_KLP_DIR/$TWO/enabled" 0
	expect_blocked $TWO 0
	unload_mod $OTHER
	expect_blocked $TWO 0
	expect "patched of $OTHER" 0 "$(klp $TWO $OTHER/patched)"
	release_sleepers
	expect_gone $TWO
	unload_lp $TWO
	expect_log "% echo 0 > $SYSFS_KLP_DIR/$TWO/enabled
$(says_disabling $TWO)
% rmmod $OTHER
test_klp_mod_target: test_klp_mod_target_exit
livepatch: reverting patch '$TWO' on unloading module '$OTHER'
% release the sleepers
$(says_disabled $TWO)
% rmmod $TWO"
	expect_versions 0 0
	unload_mod $TARGET
}

function patch_stays() {
	local busy=test_klp_core_busy

	load_mod $TARGET
	load_lp $busy
	expect_in_use $busy
	start_sleeper
	write "$SYSFS_KLP_DIR/$busy/enabled" 0
	expect_blocked $busy 0
	expect_in_use $busy
	expect_in_use $TARGET
	release_sleepers
	expect_gone $busy
	unload_lp $busy
	unload_mod $TARGET
}

function again_and_again() {
	local round

	load_mod $TARGET
	for ((round = 0; round < ROUNDS; round++)); do
		load_lp ${STACK}1
		expect_versions 1 10
		# Not a moment later than the kernel allows.
		echo 0 > "$SYSFS_KLP_DIR/${STACK}1/enabled"
		expect_soon "rmmod" 'rmmod ${STACK}1 2> /dev/null'
		expect_no_trace ${STACK}1
		expect "patches" "" "$(ls "$SYSFS_KLP_DIR")"
		expect_versions 0 0
		expect /proc/cmdline "$CMDLINE" "$(cat /proc/cmdline)"
	done
	unload_mod $TARGET
}

# The target module goes, too, and comes back elsewhere in memory.
function all_again_and_again() {
	local round

	for ((round = 0; round < ROUNDS / 4; round++)); do
		load_mod $TARGET
		load_lp ${STACK}1
		expect_versions 1 10
		if ((round % 2)); then
			rmmod $TARGET || fail "rmmod $TARGET"
			disable_lp ${STACK}1
		else
			disable_lp ${STACK}1
			rmmod $TARGET || fail "rmmod $TARGET"
		fi
		expect_soon "rmmod" 'rmmod ${STACK}1 2> /dev/null'
		expect "leftovers" "" "$(core_leftovers)"
	done
}

core_setup 7
core_case "a patched module goes" target_goes
core_case "a module goes which several livepatches patch" stacked_target_goes
core_case "a patched module goes while the livepatch is being enabled" \
	target_goes_while_enabling
core_case "a patched module goes while the livepatch is being disabled" \
	target_goes_while_disabling
core_case "the module of a livepatch stays as long as it is used" patch_stays
core_case "$ROUNDS times loaded, disabled, removed" again_and_again
core_case "$((ROUNDS / 4)) times, and the patched module as well" all_again_and_again
core_finish
