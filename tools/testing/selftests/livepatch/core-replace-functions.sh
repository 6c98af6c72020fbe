#!/bin/bash
# SPDX-License-Identifier: GPL-2.0

# Shell functions for the scripts about atomic replace, on top of
# core-functions.sh. The livepatches are test_klp_core_param*.ko, made of
# parameters, and test_klp_core_stack2.ko.

P1=test_klp_core_param1
P2=test_klp_core_param2
P3=test_klp_core_param3
STACK2=test_klp_core_stack2
OTHER=test_klp_mod_target

# directories(patch) - its objects and functions in sysfs
function directories() {
	(
		cd "$SYSFS_KLP_DIR/$1" || exit
		shopt -s nullglob
		printf "%s\n" */ */*/ | sed -e '/^$/d' -e 's:/$::' | LC_ALL=C sort
	)
}

# expect_directories(patch, object or object/function,sympos...)
function expect_directories() {
	local patch="$1"; shift

	expect_same "objects and functions of $patch" \
		"$(printf "%s\n" "$@" | LC_ALL=C sort)" "$(directories $patch)"
}

# attached() - the functions which ftrace calls a livepatch for
function attached() {
	echo $(grep -Eo "$CORE_PATCHED" "$SYSFS_TRACING_DIR/enabled_functions" |
		LC_ALL=C sort -u)
}

# everything() - all that must be the same again after an attempt
function everything() {
	local patch

	for patch in $(cd "$SYSFS_KLP_DIR" && echo *); do
		echo "$patch: enabled $(klp $patch enabled)" \
			"transition $(klp $patch transition)" \
			"order $(klp $patch stack_order)"
		grep . "$SYSFS_KLP_DIR/$patch"/*/patched
		directories $patch
	done
	echo "attached: $(attached)"
	echo "answers: $(target version) $(target version2) $(cat /proc/cmdline)"
	lsmod | awk '$1 ~ /^test_klp/ { print $1, $3 }' | LC_ALL=C sort
}

# expect_other(who) - whose function answers in the other module
function expect_other() {
	expect /proc/$OTHER "$1" "$(cat /proc/$OTHER)"
}

# expect_alone(patch) - it is the only one
function expect_alone() {
	expect_soon "$1 alone" '[[ "$(ls "$SYSFS_KLP_DIR")" == '"$1"' ]]'
	expect "stack_order of $1" 1 "$(klp "$1" stack_order)"
	expect "transition of $1" 0 "$(klp "$1" transition)"
	expect "enabled of $1" 1 "$(klp "$1" enabled)"
}

# finish(patches) - the first one is enabled, the others only loaded
function finish() {
	local patch

	disable_lp $1
	expect "patches" "" "$(ls "$SYSFS_KLP_DIR")"
	expect "attached" "" "$(attached)"
	expect /proc/cmdline "$CMDLINE" "$(cat /proc/cmdline)"
	if [[ -d "$TARGET_DIR" ]]; then
		expect_versions 0 0
		unload_mod $TARGET
	fi
	if [[ -e /proc/$OTHER ]]; then
		expect_other "$OTHER: original output"
		unload_mod $OTHER
	fi
	for patch in "$@"; do
		unload_lp $patch
	done
}
