#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A registered livepatch is disabled and enabled again, whatever was in between:
# modules that come and go, a replacement, system states, shadow variables, force.

. $(dirname $0)/functions.sh
. $(dirname $0)/core-functions.sh
. $(dirname $0)/core-op-functions.sh

P1=test_klp_core_param1
P2=test_klp_core_param2
P3=test_klp_core_param3
OTHER=test_klp_mod_target

# load_registered(patch, parameters)
function load_registered() {
	local patch=$1; shift

	log "% insmod test_modules/$patch.ko $*"
	insmod "test_modules/$patch.ko" registered=1 "$@" || fail "insmod $patch"
	expect "enabled of $patch" 0 "$(klp "$patch" enabled)"
}

function late_module() {
	local i

	load_registered $P1 functions=version,show
	set_enabled $P1 1
	expect_enabled $P1 1
	load_mod $TARGET
	expect_versions 1 0
	set_enabled $P1 0
	expect_disabled $P1
	expect_versions 0 0
	set_enabled $P1 1
	expect_enabled $P1 1
	expect_versions 1 0
	# It goes while the livepatch is not in use, and comes at another place.
	for i in 1 2 3; do
		set_enabled $P1 0
		expect_disabled $P1
		unload_mod $TARGET
		load_mod $OTHER
		load_mod $TARGET
		expect_versions 0 0
		set_enabled $P1 1
		expect_enabled $P1 1
		expect_versions 1 0
		expect "patched" "1 1" "$(klp $P1 $TARGET/patched) $(klp $P1 $OTHER/patched)"
		unload_mod $OTHER
	done
	unload_mod $TARGET
	expect "patched" "0 0" "$(klp $P1 $TARGET/patched) $(klp $P1 $OTHER/patched)"
	set_enabled $P1 0
	expect_disabled $P1
	unload_mod $P1
}

# A replaced livepatch that was registered still is.
function replaced() {
	load_mod $TARGET
	load_registered $P1 functions=version,busy version=11
	load_lp $P2 functions=version2 version=12
	set_enabled $P1 1
	expect_enabled $P1 2
	expect_versions 11 12

	# by a one-shot livepatch
	load_lp $P3 functions=version2 version=13 replace=1
	expect_versions 0 13
	expect_disabled $P1
	expect_gone $P2
	expect_soon "no references" '[[ $(cat /sys/module/'$P2'/refcnt) == 0 ]]'
	unload_lp $P2
	set_enabled $P1 1
	expect_enabled $P1 2
	expect_versions 11 13
	set_enabled $P1 0
	expect_disabled $P1
	disable_lp $P3
	unload_lp $P3

	# by a registered one, again and again
	load_registered $P3 functions=version2 version=13 replace=1
	for _ in 1 2 3; do
		set_enabled $P1 1
		expect_enabled $P1 1
		expect_versions 11 0
		set_enabled $P3 1
		expect_enabled $P3 1
		expect_disabled $P1
		expect_versions 0 13
		expect "functions of $P3" "core_target_version2,1 patched" \
			"$(echo $(ls "$SYSFS_KLP_DIR/$P3/$TARGET"))"
		set_enabled $P3 0
		expect_disabled $P3
		expect_versions 0 0
	done

	# and reversed: the nops are gone, and made anew the next time
	set_enabled $P1 1
	expect_enabled $P1 1
	start_sleeper
	set_enabled $P3 1
	only_waits_for $SLEEPER 0
	expect "functions of $P3" \
		"core_target_busy,1 core_target_version,1 core_target_version2,1 patched" \
		"$(echo $(ls "$SYSFS_KLP_DIR/$P3/$TARGET"))"
	set_enabled $P3 0
	expect_disabled $P3
	expect "functions of $P3" "core_target_version2,1 patched" \
		"$(echo $(ls "$SYSFS_KLP_DIR/$P3/$TARGET"))"
	expect_enabled $P1 1
	expect_versions 11 0
	set_enabled $P3 1
	release_sleepers
	expect_enabled $P3 1
	expect_disabled $P1
	expect_versions 0 13
	set_enabled $P3 0
	expect_disabled $P3
	unload_mod $P3
	unload_mod $P1
	unload_mod $TARGET
}

function states() {
	local message="livepatch: Livepatch patch ($P2) is not compatible"
	message+=" with the already installed livepatches."

	load_mod $TARGET
	load_registered $P1 functions=version version=11 state=2
	# Compatible with what is enabled, and nothing is.
	load_registered $P2 functions=version2 version=12 state=1
	set_enabled $P2 1
	expect_enabled $P2 1
	set_enabled $P1 1
	expect_enabled $P1 2
	set_enabled $P1 0
	expect_disabled $P1
	set_enabled $P2 0
	expect_disabled $P2

	set_enabled $P1 1
	expect_enabled $P1 1
	start_log
	set_enabled_fails $P2 1 "$EINVAL"
	expect_log "% echo 1 > $SYSFS_KLP_DIR/$P2/enabled
$message"
	expect_disabled $P2
	expect_versions 11 0
	load_registered $P3 functions=version version=13 state=3 callbacks=1
	start_log
	set_enabled $P3 1
	expect_enabled $P3 2
	[[ $(logged) == *"$P3: state 3, before 2"* ]] || fail "unexpected: $(logged)"
	set_enabled $P3 0
	expect_disabled $P3
	set_enabled $P1 0
	expect_disabled $P1
	start_log
	set_enabled $P3 1
	expect_enabled $P3 1
	[[ $(logged) == *"$P3: state 3, before 0"* ]] || fail "unexpected: $(logged)"
	set_enabled $P3 0
	expect_disabled $P3
	unload_mod $P1
	unload_mod $P2
	unload_mod $P3
	unload_mod $TARGET
}

# What the replacement attached stays, until someone frees it.
function shadow() {
	load_mod $TARGET
	load_registered $P1 functions=count version=1 callbacks=1
	load_registered $P2 functions=count version=2 callbacks=1 free_shadow=1
	set_enabled $P1 1
	expect_enabled $P1 1
	expect "count" 101 "$(target version2)"
	set_enabled $P1 0
	expect_disabled $P1
	set_enabled $P1 1
	expect_enabled $P1 1
	expect "count" 102 "$(target version2)"
	set_enabled $P2 1
	expect_enabled $P2 2
	expect "count" 103 "$(target version2)"
	set_enabled $P2 0
	expect_disabled $P2
	expect "count" 101 "$(target version2)"
	set_enabled $P1 0
	expect_disabled $P1
	set_enabled $P2 1
	expect_enabled $P2 1
	set_enabled $P2 0
	expect_disabled $P2
	unload_mod $P1
	unload_mod $P2
	unload_mod $TARGET
}

# After the other direction its module stays for good: test-core-force.sh.
function forced() {
	load_ops 1
	op 1 register
	start_sleeper
	op 1 enable
	only_waits_for $SLEEPER 0
	write "$SYSFS_KLP_DIR/${OP}1/force" 1
	expect_enabled ${OP}1 1
	release_sleepers
	op 1 disable
	expect_disabled ${OP}1
	unload_ops 1
}

core_setup 5
core_case "modules that come and go" late_module
core_case "replaced and enabled again" replaced
core_case "system states" states
core_case "shadow variables" shadow
core_case "forced" forced
core_finish
