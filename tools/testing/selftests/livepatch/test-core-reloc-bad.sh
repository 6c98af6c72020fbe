#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Livepatch relocations that cannot be made: the livepatch is refused, or the
# module that they refer to, and nothing stays relocated.

. $(dirname $0)/functions.sh
. $(dirname $0)/core-functions.sh
. $(dirname $0)/core-reloc-functions.sh

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

# loaded(symbol) - its name once the module is loaded. On powerpc the loader takes
# the dot from those that are undefined and not marked.
function loaded() {
	local name="${1#!}"

	[[ $1 == !* && $(uname -m) == ppc64* ]] && name=${name#.}
	echo "$name"
}

# bad_symbol(message, object, symbols...) - a reference to none of these is
# made; in the message, % stands for the symbol
function bad_symbol() {
	local message="$1"; shift
	local object="$1"; shift
	local symbol

	[[ $object == vmlinux ]] || load_mod $TARGET
	for symbol in "$@"; do
		refused "${object}_data" "" "$symbol" "${message//%/$(loaded "$symbol")}"
	done
	# The code, whose relocations come later.
	refused "${object}_text" "" "$symbol" "${message//%/$(loaded "$symbol")}"
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
		# As for expect_no_target(), but nobody has seen the address.
		[[ $(uname -m) != x86_64 ]] ||
			expect_refs "$(addresses saved_command_line)" $NULL
	done
	write /sys/module/$RELOC/parameters/pre_patch_ret 0
	load_mod $TARGET
	expect_target 0
	unload_mod $TARGET
	unload_patch
}

# long(letter, number)
function long() {
	printf "%0$2d" 0 | tr 0 "$1"
}

BAD_NAME="symbol % has an incorrectly formatted name"
UNMARKED="symbol % at rela sec N idx N is not marked as a livepatch symbol"
AMBIGUOUS=$(more_than_once)

CASES=20
if core_is_rust; then
	CASES=25
fi
core_setup $CASES

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

# The C core does not undo relocations here, or ignores names and ends of names.
if core_is_rust; then
	core_case "a module is refused when half of it is relocated" half_done
	core_case "a module is refused when all of it is relocated" refused_later
	core_case "a position with something around it" bad_symbol "$BAD_NAME" vmlinux \
		.klp.sym.vmlinux.saved_command_line,{0x,0.1,0\,0,0\ ,\ 0}
	core_case "a position that is too large a number" bad_symbol "$BAD_NAME" vmlinux \
		.klp.sym.vmlinux.saved_command_line,18446744073709551616
	core_case "a section for an object whose name is too long" bad_section \
		vmlinux_data ".klp.rela.$(long o 56).%"
fi

core_finish
