#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# States of livepatches in Rust: the data goes from one to the next, also from
# one that is written in C.

. $(dirname $0)/functions.sh
. $(dirname $0)/core-functions.sh

ONE=test_klp_rust_state1
TWO=test_klp_rust_state2
C=test_klp_state

# says(modules) - what these printed since start_log()
function says() {
	logged | grep -E "^($1): "
}

function alone() {
	start_log
	load_lp $ONE
	expect /proc/cmdline $ONE "$(cat /proc/cmdline)"
	disable_lp $ONE
	unload_lp $ONE
	expect_same messages \
"$ONE: pre_patch: previous false
$ONE: post_patch: Some(42)
$ONE: post_unpatch: Some(42)" "$(says $ONE)"
}

function replaced() {
	start_log
	load_lp $ONE
	load_lp $TWO
	expect_gone $ONE
	unload_lp $ONE
	expect /proc/cmdline $TWO "$(cat /proc/cmdline)"
	disable_lp $TWO
	unload_lp $TWO
	# The first one has nothing to free: it is not asked to.
	expect_same messages \
"$ONE: pre_patch: previous false
$ONE: post_patch: Some(42)
$TWO: pre_patch: secret Some(42) of version 1
$TWO: post_patch: secret Ok(true), now Some(42)
$TWO: post_patch: loglevel Ok(false), now false
$TWO: post_unpatch: secret Some(42), loglevel false" "$(says "$ONE|$TWO")"
}

function nothing_before() {
	start_log
	load_lp $TWO
	disable_lp $TWO
	unload_lp $TWO
	expect_same messages \
"$TWO: post_patch: secret Ok(false), now None
$TWO: post_patch: loglevel Ok(false), now false
$TWO: post_unpatch: secret None, loglevel false" "$(says $TWO)"
}

function after_c() {
	# It raises the log level, and the one who takes over here leaves it so.
	trap "echo $(cut -f1 /proc/sys/kernel/printk) > /proc/sys/kernel/printk" EXIT
	start_log
	load_lp $C
	load_lp $TWO
	expect_gone $C
	unload_lp $C
	disable_lp $TWO
	unload_lp $TWO
	expect_same messages \
"$TWO: post_patch: secret Ok(false), now None
$TWO: post_patch: loglevel Ok(true), now true
$TWO: post_unpatch: secret None, loglevel true" "$(says $TWO)"
}

function older() {
	load_lp $TWO
	insmod_fails $ONE "Invalid parameters"
	disable_lp $TWO
	unload_lp $TWO
}

[[ -e test_modules/$ONE.ko ]] || skip "no test_modules/$ONE.ko: built with CONFIG_RUST"

core_setup 5
core_case "data is stored, read and taken" alone
core_case "it goes to the livepatch that replaces this one" replaced
core_case "there is none to take over" nothing_before
core_case "it comes from a livepatch in C" after_c
core_case "an older version of the state is refused" older
core_finish
