#!/bin/bash
# SPDX-License-Identifier: GPL-2.0

# Shell functions for the scripts about the four operations: register, enable,
# disable, unregister. On top of core-functions.sh.
#
# test_klp_core_op*.ko do them on demand: by a file in debugfs, whose number is
# that of the livepatch.

core_is_rust || skip "the four operations need CONFIG_LIVEPATCH_RUST"

OP=test_klp_core_op

EINVAL="Invalid argument"
EBUSY="Device or resource busy"
EEXIST="File exists"
ENOENT="No such file or directory"

# op(number, operation) - call the function of livepatch number
function op() {
	write "$SYSFS_DEBUG_DIR/$OP$1" "$2"
}

# op_fails(number, operation, error)
function op_fails() {
	expect_write_error "$SYSFS_DEBUG_DIR/$OP$1" "$2" "$3"
}

# set_enabled(patch, value)
function set_enabled() {
	write "$SYSFS_KLP_DIR/$1/enabled" "$2"
}

# set_enabled_fails(patch, value, error)
function set_enabled_fails() {
	expect_write_error "$SYSFS_KLP_DIR/$1/enabled" "$2" "$3"
}

# expect_disabled(patch) - it is registered and not in use
function expect_disabled() {
	expect_soon "$1 disabled" '[[ $(klp '"$1"' transition) == 0 ]]'
	expect "enabled of $1" 0 "$(klp "$1" enabled)"
	expect "stack_order of $1" 0 "$(klp "$1" stack_order)"
	expect "references to $1" 0 "$(cat "/sys/module/$1/refcnt")"
}

# expect_enabled(patch, position)
function expect_enabled() {
	end_transition "$1"
	expect "enabled of $1" 1 "$(klp "$1" enabled)"
	expect "stack_order of $1" "$2" "$(klp "$1" stack_order)"
	expect "references to $1" 1 "$(cat "/sys/module/$1/refcnt")"
}

# load_ops(numbers...)
function load_ops() {
	local i

	load_mod $TARGET
	for i in "$@"; do
		insmod "test_modules/$OP$i.ko" || fail "insmod $OP$i"
	done
}

function unload_ops() {
	local i

	for i in "$@"; do
		rmmod "$OP$i" || fail "rmmod $OP$i"
		expect_no_trace "$OP$i"
	done
	expect_versions 0 0
	unload_mod $TARGET
}

function says_operation() {
	echo "% echo $2 > $SYSFS_DEBUG_DIR/$OP$1"
}
