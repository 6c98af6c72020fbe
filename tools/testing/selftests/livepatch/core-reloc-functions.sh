#!/bin/bash
# SPDX-License-Identifier: GPL-2.0

# Shell functions for the scripts about livepatch relocations: references to
# symbols that are not exported, or that belong to a module which may come and
# go. On top of core-functions.sh.
#
# There is one module, whose references test_klp-mkrela makes into livepatch
# relocations, anew for each case. It has four of them: one in the data and
# one in the code to something in vmlinux, and the same to the target module.

RELOC=test_klp_core_reloc
STACK=test_klp_core_stack1
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

# more_than_once() - a name that vmlinux has several symbols of
function more_than_once() {
	awk 'NF == 3 { n[$3]++ } END { for (name in n) if (n[name] > 1) print name }' \
		/proc/kallsyms | sort | grep -xE '[a-z_]+' | head -n 1
}

# expect_refs(vmlinux, target) - the data refers to these two addresses, and
# the code to the command line
function expect_refs() {
	[[ -n "$1" && -n "$2" ]] || fail "no address to compare with"
	expect /proc/cmdline "$RELOC: $1 $2 $CMDLINE" "$(cat /proc/cmdline)"
}

# expect_no_target(address) - the module has gone that had this symbol. Only x86
# takes relocations back. Elsewhere they are as they were, nobody follows them,
# and the next module has them written anew.
function expect_no_target() {
	local target="$1"

	[[ $(uname -m) == x86_64 ]] && target=$NULL
	expect_refs "$(addresses saved_command_line)" "$target"
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

# says_refusing() - what follows the reason
function says_refusing() {
	echo "livepatch: failed to initialize patch '$RELOC' for module '$TARGET' (-22)
livepatch: patch '$RELOC' failed for module '$TARGET', refusing to load module '$TARGET'"
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
