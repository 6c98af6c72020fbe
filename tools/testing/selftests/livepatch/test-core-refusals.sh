#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What the Rust core does not do yet: it refuses with -EOPNOTSUPP and one
# clear message, and leaves nothing behind. To be deleted, together with
# test_klp_core_refuse.c, as soon as it does.

. $(dirname $0)/functions.sh
. $(dirname $0)/core-functions.sh

REFUSE=test_klp_core_refuse

if ! core_is_rust; then
	echo "TAP version 13"
	echo "1..0 # SKIP only for the Rust core"
	exit $ksft_skip
fi

# refused(kind)
function refused() {
	load_mod $TARGET
	start_log
	insmod_fails $REFUSE "Operation not supported" kind="$1"
	logged
	expect "answer" "$REFUSE: $1: klp_enable_patch() returned -95" \
		"$(logged | grep "^$REFUSE: ")"
	expect "number of messages" 1 "$(logged | grep -c '^livepatch: ')"
	expect "patches" "" "$(ls "$SYSFS_KLP_DIR")"
	expect_versions 0 0

	load_lp test_klp_core_stack1
	expect_versions 1 10
	# The same, if there is something to replace.
	insmod_fails $REFUSE "Operation not supported" kind="$1"
	expect_versions 1 10
	disable_lp test_klp_core_stack1
	unload_lp test_klp_core_stack1
	expect_versions 0 0
	unload_mod $TARGET
}

function shadow() {
	start_log
	insmod_fails $REFUSE "Operation canceled" kind=shadow
	logged
	expect "answer" "$REFUSE: klp_shadow_alloc() returned NULL
$REFUSE: klp_shadow_get() returned NULL" "$(logged | grep "^$REFUSE: ")"
	logged | grep -q "^livepatch: .*shadow" || fail "no message"
}

core_setup 4
core_case "atomic replace" refused replace
core_case "system states" refused states
core_case "an object that is not loaded" refused late_object
core_case "shadow variables" shadow
core_finish
