#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Several livepatches for which the four operations are called: in which order
# they can be disabled, and what is possible while one is in transition.

. $(dirname $0)/functions.sh
. $(dirname $0)/core-functions.sh
. $(dirname $0)/core-op-functions.sh

function reverse_order() {
	local first="livepatch: patch '${OP}3' was enabled after"

	load_ops 1 2 3
	op 1 register
	op 2 register
	op 3 register
	op 2 enable
	expect_enabled ${OP}2 1
	op 1 enable
	expect_enabled ${OP}1 2
	set_enabled ${OP}3 1
	expect_enabled ${OP}3 3
	expect_versions 3 0

	start_log
	op_fails 2 disable "$EBUSY"
	set_enabled_fails ${OP}1 0 "$EBUSY"
	expect_log "$(says_operation 2 disable)
$first '${OP}2': disable it first
% echo 0 > $SYSFS_KLP_DIR/${OP}1/enabled
$first '${OP}1': disable it first"

	op 3 disable
	expect_disabled ${OP}3
	expect_versions 1 0
	op_fails 2 disable "$EBUSY"
	op 1 disable
	expect_disabled ${OP}1
	expect_versions 2 0
	# On top again.
	op 3 enable
	expect_enabled ${OP}3 2
	op_fails 2 disable "$EBUSY"
	op 3 disable
	expect_disabled ${OP}3
	op 2 disable
	expect_disabled ${OP}2
	unload_ops 1 2 3
}

# A one-shot livepatch can be disabled wherever it is; a registered one not
# before those above it, of either kind.
function mixed_order() {
	load_ops 1 2 3
	op 1 enable
	expect_enabled ${OP}1 1
	op 2 register
	op 2 enable
	expect_enabled ${OP}2 2
	op 3 enable
	expect_enabled ${OP}3 3
	op_fails 2 disable "$EBUSY"
	op 1 disable
	expect_gone ${OP}1
	expect_versions 3 0
	expect "stack_order of ${OP}2" 1 "$(klp ${OP}2 stack_order)"
	op_fails 2 disable "$EBUSY"
	op 3 disable
	expect_gone ${OP}3
	expect_versions 2 0
	op 2 disable
	expect_disabled ${OP}2
	unload_ops 1 2 3
}

# While a transition waits it can be reversed, and nothing else is possible.
function in_transition() {
	load_ops 1 2
	op 1 register
	op 2 register
	start_sleeper
	op 1 enable
	only_waits_for $SLEEPER 0
	expect_blocked ${OP}1 1
	op_fails 1 enable "$EINVAL"
	op_fails 1 unregister "$EBUSY"
	op_fails 2 enable "$EBUSY"
	set_enabled_fails ${OP}2 1 "$EBUSY"
	expect_in_use ${OP}1
	# What is not in use can go, and come.
	op 2 unregister
	op 2 register

	op 1 disable
	expect_disabled ${OP}1
	set_enabled ${OP}1 1
	only_waits_for $SLEEPER 0
	set_enabled ${OP}1 0
	expect_disabled ${OP}1
	op 1 enable
	release_sleepers
	expect_enabled ${OP}1 1

	start_sleeper
	op 1 disable
	only_waits_for $SLEEPER 1
	expect_blocked ${OP}1 0
	op_fails 1 disable "$EINVAL"
	op_fails 1 unregister "$EBUSY"
	op_fails 2 enable "$EBUSY"
	expect_in_use ${OP}1
	op 1 enable
	expect_enabled ${OP}1 1
	op 1 disable
	release_sleepers
	expect_disabled ${OP}1
	unload_ops 1 2
}

core_setup 3
core_case "disabled in reverse order" reverse_order
core_case "registered between one-shot livepatches" mixed_order
core_case "in transition" in_transition
core_finish
