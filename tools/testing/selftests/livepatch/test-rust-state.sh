#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# States and shadow variables of livepatches in Rust: the data goes from one to
# the next, states also from one that is written in C.

. $(dirname $0)/functions.sh
. $(dirname $0)/core-functions.sh

ONE=test_klp_rust_state1
TWO=test_klp_rust_state2
THREE=test_klp_rust_state3
SHADOW1=test_klp_rust_shadow1
SHADOW2=test_klp_rust_shadow2
SHADOW_REGISTERED=test_klp_rust_shadow3
C=test_klp_state

# says(modules) - what these printed since start_log()
function says() {
	logged | grep -E "^($1): "
}

# field(module, name) - what the module's file says of itself
function field() {
	modinfo -F $2 "test_modules/$1.ko"
}

function alone() {
	expect "klp_fixes" "CVE-0000-0001,test#2" "$(field $ONE klp_fixes)"
	expect "klp_replace" N "$(field $ONE klp_replace)"
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
	expect "klp_replace" Y "$(field $TWO klp_replace)"
	expect "klp_fixes" "" "$(field $TWO klp_fixes)"
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
	# It raises the log level, and the livepatch that takes over here keeps it so.
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

function other_size() {
	start_log
	load_lp $ONE
	load_lp $THREE
	expect_gone $ONE
	unload_lp $ONE
	disable_lp $THREE
	unload_lp $THREE
	expect_same messages \
"$THREE: pre_patch: refused true
$THREE: post_patch: refused true, now None" "$(says $THREE)"
}

# made_by(module, number) - the one that answers, and the one whose shadow variable
# that finds. Whoever reads, as insmod does, makes one if there is none.
function made_by() {
	expect /proc/cmdline "$1: made by $2" "$(cat /proc/cmdline)"
}

# The module goes when there is another livepatch: it must not free what that has.
function shadow_freed() {
	load_lp $SHADOW1
	made_by $SHADOW1 1
	disable_lp $SHADOW1
	load_lp $SHADOW2
	made_by $SHADOW2 2
	unload_lp $SHADOW1
	disable_lp $SHADOW2
	unload_lp $SHADOW2
}

function shadow_replaced() {
	start_log
	load_lp $SHADOW1
	made_by $SHADOW1 1
	load_lp $SHADOW2
	expect_gone $SHADOW1
	made_by $SHADOW2 1
	unload_lp $SHADOW1
	made_by $SHADOW2 1
	disable_lp $SHADOW2
	unload_lp $SHADOW2
	# Now it is freed, after the callback of the author.
	load_lp $SHADOW2
	made_by $SHADOW2 2
	disable_lp $SHADOW2
	unload_lp $SHADOW2
	expect_same messages \
"$SHADOW2: pre_patch
$SHADOW2: post_unpatch: true
$SHADOW2: pre_patch
$SHADOW2: post_unpatch: true" "$(says $SHADOW2)"
}

# This needs the core in Rust.
function shadow_registered() {
	local enabled="$SYSFS_KLP_DIR/$SHADOW_REGISTERED/enabled"

	load_lp $SHADOW_REGISTERED
	write "$enabled" 1
	end_transition $SHADOW_REGISTERED
	made_by $SHADOW_REGISTERED 3
	write "$enabled" 0
	end_transition $SHADOW_REGISTERED
	load_lp $SHADOW2
	made_by $SHADOW2 2
	disable_lp $SHADOW2
	unload_lp $SHADOW2
	write "$enabled" 1
	end_transition $SHADOW_REGISTERED
	made_by $SHADOW_REGISTERED 3
	load_lp $SHADOW2
	made_by $SHADOW2 3
	unload_lp $SHADOW_REGISTERED
	made_by $SHADOW2 3
	disable_lp $SHADOW2
	unload_lp $SHADOW2
}

[[ -e test_modules/$ONE.ko ]] || skip "no test_modules/$ONE.ko: built with CONFIG_RUST"

CASES=8
if core_is_rust; then
	CASES=9
fi
core_setup $CASES
core_case "data is stored, read and taken" alone
core_case "it goes to the livepatch that replaces this one" replaced
core_case "there is none to take over" nothing_before
core_case "it comes from a livepatch in C" after_c
core_case "an older version of the state is refused" older
core_case "data of another size is not read" other_size
core_case "a shadow variable is freed when the livepatch is disabled" shadow_freed
core_case "it is not when the livepatch is replaced" shadow_replaced
# Only the Rust core has registered livepatches.
if core_is_rust; then
	core_case "a shadow variable of one that is enabled again" shadow_registered
fi
core_finish
