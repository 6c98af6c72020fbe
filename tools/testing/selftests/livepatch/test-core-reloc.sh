#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Livepatch relocations, whenever the module comes that they refer to, and
# whichever symbol of a name they mean.

. $(dirname $0)/functions.sh
. $(dirname $0)/core-functions.sh
. $(dirname $0)/core-reloc-functions.sh

OTHER=test_klp_mod_target
ROUNDS=4

function vmlinux_only() {
	make_patch
	start_log
	load_patch
	expect_refs "$(addresses saved_command_line)" $NULL
	unload_patch
	expect_log "% insmod $RELOC.ko
$(says_enabling $RELOC)
$(says_enabled $RELOC)
% echo 0 > $SYSFS_KLP_DIR/$RELOC/enabled
$(says_disabling $RELOC)
$(says_disabled $RELOC)
% rmmod $RELOC"
}

function target_comes() {
	local was

	make_patch
	load_patch
	expect_refs "$(addresses saved_command_line)" $NULL
	start_log
	load_mod $TARGET
	expect_target 0
	was=$(addresses release_count $TARGET)
	unload_mod $TARGET
	expect_no_target "$was"
	expect_log "% insmod test_modules/$TARGET.ko
livepatch: applying patch '$RELOC' to loading module '$TARGET'
% rmmod $TARGET
livepatch: reverting patch '$RELOC' on unloading module '$TARGET'"
	unload_patch
}

function target_comes_and_goes() {
	local found=()
	local round

	make_patch
	load_patch
	for ((round = 0; round < ROUNDS; round++)); do
		# It cannot be where it was, as long as this one is there.
		((round % 2)) && load_mod $OTHER
		load_mod $TARGET
		((round % 2)) && unload_mod $OTHER
		expect_target 0
		found+=("$(addresses release_count $TARGET)")
		unload_mod $TARGET
		expect_no_target "${found[-1]}"
	done
	unload_patch
	[[ $(printf '%s\n' "${found[@]}" | sort -u | wc -l) -gt 1 ]] ||
		fail "the target was always at the same address, ${found[0]}"
}

function again_and_again() {
	local round

	make_patch
	load_mod $TARGET
	for ((round = 0; round < ROUNDS; round++)); do
		load_patch
		expect_target $((2 * round))
		unload_patch
		expect_versions 0 0
	done
	unload_mod $TARGET
}

function target_comes_to_two() {
	make_patch
	load_lp $STACK
	load_patch
	start_log
	load_mod $TARGET
	expect_target 0
	unload_mod $TARGET
	expect_log "% insmod test_modules/$TARGET.ko
livepatch: applying patch '$STACK' to loading module '$TARGET'
livepatch: applying patch '$RELOC' to loading module '$TARGET'
% rmmod $TARGET
livepatch: reverting patch '$STACK' on unloading module '$TARGET'
livepatch: reverting patch '$RELOC' on unloading module '$TARGET'"
	disable_lp $RELOC
	unload_lp $RELOC
	disable_lp $STACK
	unload_lp $STACK
}

# with_dots() - a name with dots that vmlinux has one symbol of
function with_dots() {
	awk 'NF == 3 { n[$3]++ } END { for (name in n) if (n[name] == 1) print name }' \
		/proc/kallsyms | sort | grep -xE '[a-z_]+([.][a-z0-9_]+)+' | head -n 1
}

function vmlinux_positions() {
	local name all position

	name=$(more_than_once)
	mapfile -t all < <(addresses "$name")
	[[ ${#all[@]} -gt 1 ]] || fail "found no ambiguous name"
	for position in 1 ${#all[@]}; do
		make_patch vmlinux_data "" ".klp.sym.vmlinux.$name,$position"
		load_patch
		expect_refs "${all[$((position - 1))]}" $NULL
		unload_patch
	done

	# For a name of which there is only one, 0 and 1 are the same. A
	# function is as good as a variable.
	make_patch vmlinux_data "" .klp.sym.vmlinux.cmdline_proc_show,1
	load_patch
	expect_refs "$(addresses cmdline_proc_show)" $NULL
	unload_patch

	name=$(with_dots)
	make_patch vmlinux_data "" ".klp.sym.vmlinux.$name,0"
	load_patch
	expect_refs "$(addresses "$name")" $NULL
	unload_patch
}

function target_positions() {
	local numbers=()
	local all position

	load_mod $TARGET
	mapfile -t all < <(addresses dup_version $TARGET)
	expect "variables of this name" 2 ${#all[@]}
	for position in 1 2; do
		make_patch target_text "" ".klp.sym.$TARGET.core_target_dup,$position" \
			target_data "" ".klp.sym.$TARGET.dup_version,$position"
		load_patch
		expect_refs "$(addresses saved_command_line)" \
			"${all[$((position - 1))]}"
		expect "function $position" "$(first_dup $position)" "$(target version2)"
		numbers+=("$(target version)")
		unload_patch
	done
	expect "numbers" "1 2" "$(echo $(printf '%s\n' "${numbers[@]}" | sort))"

	make_patch target_data "" .klp.sym.$TARGET.release_count,1
	load_patch
	expect_target 0
	unload_patch
	unload_mod $TARGET
}

# What is relocated for the target may refer to what the target needs.
function third_module() {
	local symbol="test_klp_mod_target_show"
	local was

	make_patch target_data "" ".klp.sym.$OTHER.$symbol,0"
	load_patch
	start_log
	load_fails test_modules/$TARGET.ko "Invalid parameters"
	expect_log "% insmod $TARGET.ko
livepatch: symbol '$symbol' not found in symbol table
$(says_refusing)"

	load_mod $OTHER
	load_mod $TARGET
	was=$(addresses $symbol $OTHER)
	expect_refs "$(addresses saved_command_line)" "$was"
	unload_mod $TARGET
	expect_no_target "$was"
	unload_mod $OTHER
	unload_patch
}

# Tools take the name of a module's file for its name.
function dashes() {
	local file=${TARGET//_/-}
	local was

	make_patch target_data ".klp.rela.$file.%" ".klp.sym.$file.release_count,0" \
		target_text ".klp.rela.$TARGET.%" ".klp.sym.$file.core_target_dup,1"
	load_mod $TARGET
	load_patch
	expect_target 0
	was=$(addresses release_count $TARGET)
	unload_mod $TARGET
	expect_no_target "$was"
	load_mod $TARGET
	expect_target 0
	unload_patch
	unload_mod $TARGET
}

CASES=9
if core_is_rust; then
	CASES=10
fi
core_setup $CASES

core_case "symbols of the kernel" vmlinux_only
core_case "symbols of a module that is loaded" target_is_there
core_case "symbols of a module that comes later" target_comes
core_case "symbols of a module that comes and goes $ROUNDS times" target_comes_and_goes
core_case "$ROUNDS times loaded, disabled, removed" again_and_again
core_case "a module that comes to two livepatches" target_comes_to_two
core_case "positions in the kernel" vmlinux_positions
core_case "positions in a module" target_positions
core_case "symbols of a third module" third_module

# The C core does not know a module by the name of its file.
if core_is_rust; then
	core_case "dashes in the name of a module" dashes
fi
core_finish
