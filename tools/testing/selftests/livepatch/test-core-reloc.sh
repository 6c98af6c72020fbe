#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Livepatch relocations: references to symbols that are not exported, or that
# belong to a module which may come and go.
#
# There is one module, whose references test_klp-mkrela turns into livepatch
# relocations, anew for each case. It has four of them: one in the data and
# one in the code to something in vmlinux, and the same to the target module.

. $(dirname $0)/functions.sh
. $(dirname $0)/core-functions.sh

RELOC=test_klp_core_reloc
STACK=test_klp_core_stack1
OTHER=test_klp_mod_target
ROUNDS=4
NULL=0000000000000000

# make_patch(reference, section, symbol, ...) - write the livepatch
#	reference - vmlinux_data, vmlinux_text, target_data, target_text
#	section   - name of the relocation section; % stands for the name of the
#		    section to be relocated; nothing: as it should be
#	symbol    - name of the symbol; one that is not marked if ! precedes it
# All references not named are as they should be.
function make_patch() {
	local -A section=([vmlinux_data]=.klp.rela.vmlinux.%
			  [vmlinux_text]=.klp.rela.vmlinux.%
			  [target_data]=.klp.rela.$TARGET.%
			  [target_text]=.klp.rela.$TARGET.%)
	local -A symbol=([vmlinux_data]=.klp.sym.vmlinux.saved_command_line,0
			 [vmlinux_text]=.klp.sym.vmlinux.saved_command_line,0
			 [target_data]=.klp.sym.$TARGET.release_count,0
			 [target_text]=.klp.sym.$TARGET.core_target_dup,1)
	local name rules=()

	while [[ $# -gt 0 ]]; do
		[[ -z "$2" ]] || section[$1]=$2
		symbol[$1]=$3
		shift 3
	done
	for name in vmlinux_data vmlinux_text target_data target_text; do
		rules+=("klp_$name" "${section[$name]}" "${symbol[$name]}")
	done
	./test_klp-mkrela "test_modules/$RELOC.ko" "$CORE_TMP/$RELOC.ko" \
		"${rules[@]}" || fail "cannot make the livepatch"
}

# load_patch() - load what make_patch() has written
function load_patch() {
	local found

	log "% insmod $RELOC.ko"
	found=$(insmod "$CORE_TMP/$RELOC.ko" 2>&1) || fail "$found"
	end_transition $RELOC
}

# load_fails(module file, error)
function load_fails() {
	local name=${1##*/}
	local found

	log "% insmod $name"
	found=$(insmod "$1" 2>&1) && fail "$name is loaded, expected: $2"
	[[ "$found" == *": $2" ]] ||
		fail "insmod $name: expected '$2', found '$found'"
	[[ ! -e "/sys/module/${name%.ko}" ]] || fail "${name%.ko} is there"
}

# unload_patch()
function unload_patch() {
	disable_lp $RELOC
	expect /proc/cmdline "$CMDLINE" "$(cat /proc/cmdline)"
	unload_lp $RELOC
}

# addresses(symbol, module) - all that have this name, in the order of their
# positions; without a module those of vmlinux
function addresses() {
	awk -v name="$1" -v module="${2:+[$2]}" \
		'$3 == name && $4 == module { print $1 }' /proc/kallsyms
}

# expect_refs(vmlinux, target) - the data refers to these two addresses, and
# the code to the command line
function expect_refs() {
	[[ -n "$1" && -n "$2" ]] || fail "no address to compare with"
	expect /proc/cmdline "$RELOC: $1 $2 $CMDLINE" "$(cat /proc/cmdline)"
}

# expect_target(number) - release that often: the references to the target
# lead to the variable and to the function in it
function expect_target() {
	local first=$1
	local i

	expect_refs "$(addresses saved_command_line)" \
		"$(addresses release_count $TARGET)"
	expect_versions "$first" "$(first_dup 1)"
	for i in 1 2; do
		echo 1 > "$TARGET_DIR/release"
		expect_versions $((first + i)) "$(first_dup 1)"
	done
}

# first_dup(position) - what the function core_target_dup at this position
# answers
function first_dup() {
	local all first second
	mapfile -t all < <(addresses core_target_dup $TARGET)

	read -r first second < "$TARGET_DIR/dup_addr"
	case "${all[$(($1 - 1))]}" in
	"$first")	echo 1 ;;
	"$second")	echo 2 ;;
	*)		echo "no function at position $1" ;;
	esac
}

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

function target_is_there() {
	make_patch
	load_mod $TARGET
	start_log
	load_patch
	expect_target 0
	disable_lp $RELOC
	expect_versions 0 0
	unload_lp $RELOC
	expect_log "% insmod $RELOC.ko
$(says_enabling $RELOC)
$(says_enabled $RELOC)
% echo 0 > $SYSFS_KLP_DIR/$RELOC/enabled
$(says_disabling $RELOC)
$(says_disabled $RELOC)
% rmmod $RELOC"
	unload_mod $TARGET
}

function target_comes() {
	make_patch
	load_patch
	expect_refs "$(addresses saved_command_line)" $NULL
	start_log
	load_mod $TARGET
	expect_target 0
	unload_mod $TARGET
	expect_refs "$(addresses saved_command_line)" $NULL
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
		expect_refs "$(addresses saved_command_line)" $NULL
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

# more_than_once() - a name that vmlinux has several symbols of
function more_than_once() {
	awk 'NF == 3 { n[$3]++ } END { for (name in n) if (n[name] > 1) print name }' \
		/proc/kallsyms | sort | grep -xE '[a-z_]+' | head -n 1
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

	make_patch target_data "" ".klp.sym.$OTHER.$symbol,0"
	load_patch
	start_log
	load_fails test_modules/$TARGET.ko "Invalid parameters"
	expect_log "% insmod $TARGET.ko
livepatch: symbol '$symbol' not found in symbol table
$(says_refusing)"

	load_mod $OTHER
	load_mod $TARGET
	expect_refs "$(addresses saved_command_line)" "$(addresses $symbol $OTHER)"
	unload_mod $TARGET
	expect_refs "$(addresses saved_command_line)" $NULL
	unload_mod $OTHER
	unload_patch
}

# says_refusing() - what follows the reason
function says_refusing() {
	echo "livepatch: failed to initialize patch '$RELOC' for module '$TARGET' (-22)
livepatch: patch '$RELOC' failed for module '$TARGET', refusing to load module '$TARGET'"
}

# numberless() - kernel messages without the numbers that depend on the compiler
function numberless() {
	logged | sed -E 's/ at rela sec [0-9]+ idx [0-9]+ / at rela sec N idx N /'
}

# refused(reference, section, symbol, message) - this livepatch is not loaded
function refused() {
	local message="livepatch: $4"

	make_patch "$1" "$2" "$3"
	start_log
	load_fails "$CORE_TMP/$RELOC.ko" "Invalid parameters"
	expect_same "kernel messages" "% insmod $RELOC.ko
$message" "$(numberless)"
	expect_no_trace $RELOC
	expect "patches" "" "$(ls "$SYSFS_KLP_DIR")"
	expect /proc/cmdline "$CMDLINE" "$(cat /proc/cmdline)"
}

# bad_symbol(message, object, symbols...) - a reference to none of these is
# made; in the message, % stands for the symbol
function bad_symbol() {
	local message="$1"; shift
	local object="$1"; shift
	local symbol

	[[ $object == vmlinux ]] || load_mod $TARGET
	for symbol in "$@"; do
		refused "${object}_data" "" "$symbol" "${message//%/${symbol#!}}"
	done
	# The code, whose relocations come later.
	refused "${object}_text" "" "$symbol" "${message//%/${symbol#!}}"
	if [[ $object != vmlinux ]]; then
		expect_versions 0 0
		unload_mod $TARGET
	fi
}

# bad_section(reference, names...)
function bad_section() {
	local reference="$1"; shift
	local section

	for section in "$@"; do
		refused "$reference" "$section" ".klp.sym.vmlinux.saved_command_line,0" \
			"section ${section//%/.data} has an incorrectly formatted name"
	done
}

# bad_late_symbol(message, symbol) - the livepatch is loaded, but the target
# is not, any more than the first time
function bad_late_symbol() {
	local round

	# In the data, which is first: nothing is relocated.
	make_patch target_data "" "$2"
	load_lp $STACK
	load_patch
	for round in 1 2 3; do
		start_log
		load_fails test_modules/$TARGET.ko "Invalid parameters"
		expect_same "kernel messages" "% insmod $TARGET.ko
livepatch: applying patch '$STACK' to loading module '$TARGET'
livepatch: $1
$(says_refusing)
livepatch: reverting patch '$STACK' on unloading module '$TARGET'" "$(numberless)"
		expect "patched of $TARGET" 0 "$(klp $RELOC $TARGET/patched)"
		expect "patched of $TARGET" 0 "$(klp $STACK $TARGET/patched)"
		expect "enabled" 1 "$(klp $RELOC enabled)"
		expect "transition" 0 "$(klp $RELOC transition)"
		expect_refs "$(addresses saved_command_line)" $NULL
	done
	disable_lp $RELOC
	unload_lp $RELOC

	# It is this livepatch alone that kept the target away.
	load_mod $TARGET
	expect_versions 1 10
	unload_mod $TARGET
	disable_lp $STACK
	unload_lp $STACK
}

# A bad symbol in the code, when the data is relocated already.
function half_done() {
	make_patch target_text "" ".klp.sym.$TARGET.core_no_such_symbol,0"
	load_patch
	for _ in 1 2; do
		start_log
		load_fails test_modules/$TARGET.ko "Invalid parameters"
		expect_log "% insmod $TARGET.ko
livepatch: symbol 'core_no_such_symbol' not found in symbol table
$(says_refusing)"
		expect_refs "$(addresses saved_command_line)" $NULL
	done
	unload_patch
}

# All is well with the relocations, but something else keeps the target away.
function refused_later() {
	make_patch
	load_patch
	write /sys/module/$RELOC/parameters/pre_patch_ret -19
	for _ in 1 2; do
		start_log
		load_fails test_modules/$TARGET.ko "No such device"
		expect_log "% insmod $TARGET.ko
livepatch: applying patch '$RELOC' to loading module '$TARGET'
livepatch: pre-patch callback failed for object '$TARGET'
livepatch: patch '$RELOC' failed for module '$TARGET', refusing to load module '$TARGET'"
		expect_refs "$(addresses saved_command_line)" $NULL
	done
	write /sys/module/$RELOC/parameters/pre_patch_ret 0
	load_mod $TARGET
	expect_target 0
	unload_mod $TARGET
	unload_patch
}

# Tools take the name of a module's file for its name.
function dashes() {
	local file=${TARGET//_/-}

	make_patch target_data ".klp.rela.$file.%" ".klp.sym.$file.release_count,0" \
		target_text ".klp.rela.$TARGET.%" ".klp.sym.$file.core_target_dup,1"
	load_mod $TARGET
	load_patch
	expect_target 0
	unload_mod $TARGET
	expect_refs "$(addresses saved_command_line)" $NULL
	load_mod $TARGET
	expect_target 0
	unload_patch
	unload_mod $TARGET
}

# long(letter, number)
function long() {
	printf "%0$2d" 0 | tr 0 "$1"
}

BAD_NAME="symbol % has an incorrectly formatted name"
UNMARKED="symbol % at rela sec N idx N is not marked as a livepatch symbol"
AMBIGUOUS=$(more_than_once)

if core_is_rust; then
	core_setup 35
else
	core_setup 29
fi

core_case "symbols of the kernel" vmlinux_only
core_case "symbols of a module that is loaded" target_is_there
core_case "symbols of a module that comes later" target_comes
core_case "symbols of a module that comes and goes $ROUNDS times" target_comes_and_goes
core_case "$ROUNDS times loaded, disabled, removed" again_and_again
core_case "a module that comes to two livepatches" target_comes_to_two
core_case "positions in the kernel" vmlinux_positions
core_case "positions in a module" target_positions
core_case "symbols of a third module" third_module

core_case "a symbol without a position" bad_symbol "$BAD_NAME" vmlinux \
	.klp.sym.vmlinux.saved_command_line{,\,,\,x,\,-0,\,+0}
core_case "a symbol without an object" bad_symbol "$BAD_NAME" vmlinux \
	.klp.sym.saved_command_line,0 .klp.sym..saved_command_line,0
core_case "an object without a symbol" bad_symbol "$BAD_NAME" vmlinux \
	.klp.sym.vmlinux.,0 .klp.sym.vmlinux. .klp.sym.vmlinux .klp.sym.
core_case "a symbol without the prefix" bad_symbol "$BAD_NAME" vmlinux \
	.klp.symbol.vmlinux.saved_command_line,0 saved_command_line
core_case "an object name that is too long" bad_symbol "$BAD_NAME" vmlinux \
	".klp.sym.$(long o 56).x,0" ".klp.sym.$(long o 500).x,0"
core_case "the longest object name" bad_symbol \
	"symbol 'x' not found in symbol table" vmlinux ".klp.sym.$(long o 55).x,0"
core_case "a symbol name that is too long" bad_symbol "$BAD_NAME" vmlinux \
	".klp.sym.vmlinux.$(long s 512),0"
core_case "the longest symbol name" bad_symbol \
	"symbol '$(long s 511)' not found in symbol table" vmlinux \
	".klp.sym.vmlinux.$(long s 511),0"
core_case "a symbol that is not marked" bad_symbol "$UNMARKED" vmlinux \
	!.klp.sym.vmlinux.saved_command_line,0
core_case "an unknown symbol of the kernel" bad_symbol \
	"symbol 'core_no_such_symbol' not found in symbol table" vmlinux \
	.klp.sym.vmlinux.core_no_such_symbol,{0,1}
core_case "an ambiguous symbol of the kernel" bad_symbol \
	"unresolvable ambiguity for symbol '$AMBIGUOUS' in object '(null)'" vmlinux \
	".klp.sym.vmlinux.$AMBIGUOUS,0"
core_case "a position out of range in the kernel" bad_symbol \
	"symbol position 2 for symbol 'saved_command_line' in object 'vmlinux' not found" \
	vmlinux .klp.sym.vmlinux.saved_command_line,2
core_case "a malformed name of a section" bad_section vmlinux_data \
	.klp.rela. .klp.rela..% .klp.relax.vmlinux.% %
core_case "a malformed symbol of a module" bad_symbol "$BAD_NAME" target \
	.klp.sym.$TARGET.release_count{,\,} .klp.sym..release_count,0
core_case "a symbol of a module that is not marked" bad_symbol "$UNMARKED" target \
	!.klp.sym.$TARGET.release_count,0
core_case "an ambiguous symbol of a module" bad_symbol \
	"unresolvable ambiguity for symbol 'core_target_dup' in object '$TARGET'" \
	target .klp.sym.$TARGET.core_target_dup,0
core_case "a position out of range in a module" bad_symbol \
	"symbol position 3 for symbol 'core_target_dup' in object '$TARGET' not found" \
	target .klp.sym.$TARGET.core_target_dup,3
core_case "a symbol of the kernel in a section for a module" bad_symbol \
	"invalid access to vmlinux symbol 'saved_command_line'"\
" from module-specific livepatch relocation section" \
	target .klp.sym.vmlinux.saved_command_line,0
core_case "a good livepatch after all of these" target_is_there
core_case "an unknown symbol of a module that comes later" bad_late_symbol \
	"symbol 'core_no_such_symbol' not found in symbol table" \
	.klp.sym.$TARGET.core_no_such_symbol,0

# The C core leaves relocations behind here, ignores names and ends of names,
# or does not know a module by the name of its file.
if core_is_rust; then
	core_case "a module is refused when half of it is relocated" half_done
	core_case "a module is refused when all of it is relocated" refused_later
	core_case "dashes in the name of a module" dashes
	core_case "a position with something around it" bad_symbol "$BAD_NAME" vmlinux \
		.klp.sym.vmlinux.saved_command_line,{0x,0.1,0\,0,0\ ,\ 0}
	core_case "a position that is too large a number" bad_symbol "$BAD_NAME" vmlinux \
		.klp.sym.vmlinux.saved_command_line,18446744073709551616
	core_case "a section for an object whose name is too long" bad_section \
		vmlinux_data ".klp.rela.$(long o 56).%"
fi

core_finish
