#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A livepatch made by scripts/livepatch/klp-build of two changes, one of a
# function of vmlinux and one of a function of a module. Both refer to symbols
# that are not exported.

. $(dirname $0)/functions.sh
. $(dirname $0)/core-functions.sh

LP=livepatch_klp_build
MOD=livepatch_shadow_mod

# load_file(module) - the names of these files have "-" where the modules have "_"
function load_file() {
	local file="test_modules/${1//_/-}.ko"

	log "% insmod $file"
	insmod "$file" || fail "cannot load $file"
}

function load_patch() {
	load_file $LP
	end_transition $LP
	expect /proc/cmdline "klp-build: $CMDLINE" "$(cat /proc/cmdline)"
}

function unload_patch() {
	disable_lp $LP
	unload_lp $LP
	expect /proc/cmdline "$CMDLINE" "$(cat /proc/cmdline)"
}

function messages() {
	dmesg | awk -v mark="$CORE_MARK" 'p; index($0, mark) { p = 1 }' | grep -e "dummy_" -e "klp-build:"
}

# The module allocates a dummy each second, and the new code counts all of them.
function expect_new_code() {
	start_log
	expect_soon "the new code in $MOD" 'messages | grep -q "klp-build: [1-9][0-9]* dummies"'
}

function expect_old_code() {
	start_log
	expect_soon "dummies of the old code in $MOD" '[[ $(messages | grep -c "dummy_alloc: ") -ge 2 ]]'
	messages | grep "klp-build:" && fail "the new code still runs in $MOD"
}

function vmlinux_function() {
	load_patch
	unload_patch
}

function module_function() {
	load_file $MOD
	expect_old_code
	load_patch
	expect_new_code
	unload_patch
	expect_old_code
	rmmod $MOD || fail "rmmod $MOD"
}

function late_module() {
	load_patch
	load_file $MOD
	expect_new_code
	rmmod $MOD || fail "rmmod $MOD"
	load_file $MOD
	expect_new_code
	unload_patch
	expect_old_code
	rmmod $MOD || fail "rmmod $MOD"
}

core_setup 3
core_case "a function of vmlinux" vmlinux_function
core_case "a function of a module that is loaded" module_function
core_case "a function of a module that comes, goes and comes back" late_module
core_finish
