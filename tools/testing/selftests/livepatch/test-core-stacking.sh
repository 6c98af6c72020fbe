#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Several livepatches on the same functions, of the kernel and of a module:
# who answers, what sysfs shows, and that they can go in any order.

. $(dirname $0)/functions.sh
. $(dirname $0)/core-functions.sh

STACK=test_klp_core_stack

# expect_stack(numbers) - exactly these patches are enabled, the last on top.
# Patch 2 does not touch core_target_version2().
function expect_stack() {
	local i order=0 version=0 version2=0 cmdline="$CMDLINE"

	for i in "$@"; do
		version=$i
		[[ $i == 2 ]] || version2=${i}0
		cmdline="$STACK$i: version $i"
		order=$((order + 1))
		expect "stack_order of $i" $order "$(klp $STACK$i stack_order)"
		expect "enabled of $i" 1 "$(klp $STACK$i enabled)"
		expect "transition of $i" 0 "$(klp $STACK$i transition)"
	done
	expect "number of patches" $order "$(ls "$SYSFS_KLP_DIR" | wc -l)"
	expect_versions $version $version2
	expect /proc/cmdline "$cmdline" "$(cat /proc/cmdline)"
}

# stack(order) - enable 1, 2, 3; disable in this order
function stack() {
	local i remaining=(1 2 3)

	load_mod $TARGET
	expect_stack
	load_lp ${STACK}1
	expect_stack 1
	load_lp ${STACK}2
	expect_stack 1 2
	load_lp ${STACK}3
	expect_stack 1 2 3
	for i in "$@"; do
		disable_lp $STACK$i
		unset "remaining[$((i - 1))]"
		expect_stack "${remaining[@]}"
		unload_lp $STACK$i
	done
	unload_mod $TARGET
}

# A patch that comes back is the last one in the order.
function return_on_top() {
	load_mod $TARGET
	load_lp ${STACK}1
	load_lp ${STACK}3
	expect_stack 1 3
	disable_lp ${STACK}1
	unload_lp ${STACK}1
	expect_stack 3
	load_lp ${STACK}1
	expect_stack 3 1
	disable_lp ${STACK}3
	unload_lp ${STACK}3
	disable_lp ${STACK}1
	unload_lp ${STACK}1
	expect_stack
	unload_mod $TARGET
}

function messages() {
	start_log
	load_mod $TARGET
	load_lp ${STACK}1
	load_lp ${STACK}2
	disable_lp ${STACK}1
	unload_lp ${STACK}1
	disable_lp ${STACK}2
	unload_lp ${STACK}2
	unload_mod $TARGET

	expect_log "% insmod test_modules/$TARGET.ko
% insmod test_modules/${STACK}1.ko
$(says_enabling ${STACK}1)
$(says_enabled ${STACK}1)
% insmod test_modules/${STACK}2.ko
$(says_enabling ${STACK}2)
$(says_enabled ${STACK}2)
% echo 0 > $SYSFS_KLP_DIR/${STACK}1/enabled
$(says_disabling ${STACK}1)
$(says_disabled ${STACK}1)
% rmmod ${STACK}1
% echo 0 > $SYSFS_KLP_DIR/${STACK}2/enabled
$(says_disabling ${STACK}2)
$(says_disabled ${STACK}2)
% rmmod ${STACK}2
% rmmod $TARGET"
}

# tree(directory) - mode and path of all that is below, and the values
function tree() {
	local path value

	shopt -s globstar
	for path in "$1" "$1"/**/*; do
		value=
		[[ -f "$path" && -r "$path" && "$path" != */force ]] &&
			value=" = $(cat "$path")"
		echo "$(stat --format '%A' "$path") .${path#"$1"}$value"
	done
}

function sysfs() {
	load_mod $TARGET
	load_lp ${STACK}1
	load_lp ${STACK}2

	expect_same "sysfs tree of patch 1" "drwxr-xr-x .
-rw-r--r-- ./enabled = 1
--w------- ./force
-r--r--r-- ./replace = 0
-r--r--r-- ./stack_order = 1
drwxr-xr-x ./$TARGET
drwxr-xr-x ./$TARGET/core_target_version,1
drwxr-xr-x ./$TARGET/core_target_version2,1
-r--r--r-- ./$TARGET/patched = 1
-r--r--r-- ./transition = 0
drwxr-xr-x ./vmlinux
drwxr-xr-x ./vmlinux/cmdline_proc_show,1
-r--r--r-- ./vmlinux/patched = 1" \
		"$(tree "$SYSFS_KLP_DIR/${STACK}1")"
	expect_same "sysfs tree of patch 2" "drwxr-xr-x .
-rw-r--r-- ./enabled = 1
--w------- ./force
-r--r--r-- ./replace = 0
-r--r--r-- ./stack_order = 2
drwxr-xr-x ./$TARGET
drwxr-xr-x ./$TARGET/core_target_version,1
-r--r--r-- ./$TARGET/patched = 1
-r--r--r-- ./transition = 0
drwxr-xr-x ./vmlinux
drwxr-xr-x ./vmlinux/cmdline_proc_show,1
-r--r--r-- ./vmlinux/patched = 1" \
		"$(tree "$SYSFS_KLP_DIR/${STACK}2")"

	disable_lp ${STACK}2
	disable_lp ${STACK}1
	expect "patches" "" "$(ls "$SYSFS_KLP_DIR")"
	unload_lp ${STACK}2
	unload_lp ${STACK}1
	unload_mod $TARGET
}

function two_modules() {
	local mod=test_klp_mod_target file=/proc/test_klp_mod_target

	load_mod $TARGET
	load_mod $mod
	load_lp test_klp_core_two
	expect_versions 0 2
	expect $file "test_klp_core_two: version 2" "$(cat $file)"
	expect "patched of $TARGET" 1 "$(klp test_klp_core_two $TARGET/patched)"
	expect "patched of $mod" 1 "$(klp test_klp_core_two $mod/patched)"
	disable_lp test_klp_core_two
	expect_versions 0 0
	expect $file "$mod: original output" "$(cat $file)"
	unload_lp test_klp_core_two
	unload_mod $mod
	unload_mod $TARGET
}

core_setup 8
core_case "a function of the kernel and one of a module: messages" messages
core_case "sysfs: names, modes and values" sysfs
core_case "one livepatch for two loaded modules" two_modules
core_case "three livepatches, disabled from the top" stack 3 2 1
core_case "three livepatches, disabled from the bottom" stack 1 2 3
core_case "three livepatches, the middle one goes first, then the top" stack 2 3 1
core_case "three livepatches, the middle one goes first, then the bottom" stack 2 1 3
core_case "a livepatch that comes back is on top" return_on_top
core_finish
