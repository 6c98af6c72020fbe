#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A function that has two names, and livepatches that call it by either: it is
# one function.

. $(dirname $0)/functions.sh
. $(dirname $0)/core-functions.sh

ALIAS=test_klp_core_alias

# start_replacing() - patch 2 replaces patch 1, and waits for SLEEPER only
function start_replacing() {
	load_mod $TARGET
	expect name 0 "$(target name)"
	load_lp ${ALIAS}1
	expect name 1 "$(target name)"
	start_sleeper
	load_lp_nowait ${ALIAS}2
	only_waits_for $SLEEPER 0
	expect_blocked ${ALIAS}2 1
	# A new task has the state of this one, which has moved.
	expect "name, after the move" 2 "$(target name)"
}

function replace() {
	start_replacing
	release_sleepers
	end_transition ${ALIAS}2
	expect_gone ${ALIAS}1
	expect name 2 "$(target name)"
	unload_lp ${ALIAS}1
	disable_lp ${ALIAS}2
	expect name 0 "$(target name)"
	unload_lp ${ALIAS}2
	unload_mod $TARGET
}

function take_back() {
	start_replacing
	write "$SYSFS_KLP_DIR/${ALIAS}2/enabled" 0
	expect_gone ${ALIAS}2
	expect name 1 "$(target name)"
	release_sleepers
	unload_lp ${ALIAS}2
	disable_lp ${ALIAS}1
	expect name 0 "$(target name)"
	unload_lp ${ALIAS}1
	unload_mod $TARGET
}

# The module comes when both names are there, of which one has no replacement.
function module_comes() {
	load_lp ${ALIAS}1
	load_mod $TARGET
	load_lp ${ALIAS}2
	unload_mod $TARGET
	load_mod $TARGET
	expect name 2 "$(target name)"
	expect_gone ${ALIAS}1
	unload_lp ${ALIAS}1
	disable_lp ${ALIAS}2
	unload_lp ${ALIAS}2
	expect name 0 "$(target name)"
	unload_mod $TARGET
}

SAYS_TWICE="livepatch: object '$TARGET':"
SAYS_TWICE+=" 'core_target_name' and 'core_target_alias' are the same function"

function twice() {
	load_mod $TARGET
	insmod_fails test_klp_bad "Invalid parameters" kind=alias
	expect_soon "message" 'dmesg | grep -qF "$SAYS_TWICE"'
	expect name 0 "$(target name)"
	unload_mod $TARGET
}

function twice_when_the_module_comes() {
	log "% insmod test_modules/test_klp_bad.ko kind=alias"
	insmod test_modules/test_klp_bad.ko kind=alias || fail "insmod test_klp_bad"
	end_transition test_klp_bad
	start_log
	insmod_fails $TARGET "Invalid parameters"
	log_has "$SAYS_TWICE" || fail "the kernel does not say why"
	disable_lp test_klp_bad
	unload_lp test_klp_bad
}

core_setup 5
core_case "a task runs the old or the new version while one name replaces the other" replace
core_case "the same when that is taken back" take_back
core_case "a module comes and goes under both names" module_comes
core_case "a patch that has both names is refused" twice
core_case "a module is refused for which a patch has both names" twice_when_the_module_comes
core_finish
