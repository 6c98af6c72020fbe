#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Descriptors that no livepatch should have. The error is always exactly
# this one, so is what the core says, nothing stays behind, and afterwards a
# good livepatch can be loaded.

. $(dirname $0)/functions.sh
. $(dirname $0)/core-functions.sh

BAD=test_klp_bad
EINVAL=-22
ENOENT=-2
EEXIST=-17

function good_still_works() {
	expect_versions 0 0
	load_lp $BAD kind=good
	expect_versions 42 0
	disable_lp $BAD
	expect_versions 0 0
	unload_lp $BAD
	unload_mod $TARGET
}

# bad(kind, errno, message, parameters)
function bad() {
	local kind="$1"; shift
	local errno="$1"; shift
	local message="$1"; shift

	if core_is_rust && [[ -z "$message" ]]; then
		message=$(rust_says "$kind")
	fi
	load_mod $TARGET
	start_log
	if insmod "test_modules/$BAD.ko" kind="$kind" "$@"; then
		fail "kind=$kind $*: the module is loaded"
	fi
	expect_no_trace $BAD
	expect_log "${message:+$message
}$BAD: $kind: klp_enable_patch() returned $errno"
	expect "patches" "" "$(ls "$SYSFS_KLP_DIR")"
	grep -E "$CORE_PATCHED" "$SYSFS_TRACING_DIR/enabled_functions" &&
		fail "something is attached"
	good_still_works
}

function unmarked() {
	load_mod $TARGET
	start_log
	insmod_fails test_klp_bad_unmarked "Invalid parameters"
	expect_log "% insmod test_modules/test_klp_bad_unmarked.ko
livepatch: module test_klp_bad_unmarked is not marked as a livepatch module
test_klp_bad_unmarked: klp_enable_patch() returned $EINVAL"
	expect "patches" "" "$(ls "$SYSFS_KLP_DIR")"
	good_still_works
}

# empty(kind, objects) - does nothing, but as well as any other
function empty() {
	load_mod $TARGET
	start_log
	load_lp $BAD kind="$1"
	expect "objects" "$2" "$(cd "$SYSFS_KLP_DIR/$BAD" && echo */)"
	[[ ! -e "$SYSFS_KLP_DIR/$BAD/$TARGET" ]] ||
		expect "functions" patched "$(ls "$SYSFS_KLP_DIR/$BAD/$TARGET")"
	disable_lp $BAD
	unload_lp $BAD
	# The module's own line may come anywhere after "starting".
	expect_same "kernel messages" "% insmod test_modules/$BAD.ko kind=$1
$(says_enabling $BAD)
$(says_enabled $BAD)
% echo 0 > $SYSFS_KLP_DIR/$BAD/enabled
$(says_disabling $BAD)
$(says_disabled $BAD)
% rmmod $BAD" "$(logged | grep -v "^$BAD: $1: klp_enable_patch() returned 0$")"
	good_still_works
}

# Two functions of the target module have the same name.
function sympos() {
	local addresses first second position

	load_mod $TARGET
	addresses=($(awk '$3 == "core_target_dup" { print $1 }' /proc/kallsyms))
	expect "functions of this name" 2 ${#addresses[@]}
	read -r first second < "$TARGET_DIR/dup_addr"

	for position in 1 2; do
		load_lp $BAD kind=func object=$TARGET symbol=core_target_dup \
			sympos=$position
		expect "sysfs" "core_target_dup,$position patched" \
			"$(echo $(ls "$SYSFS_KLP_DIR/$BAD/$TARGET"))"
		case "${addresses[$((position - 1))]}" in
		"$first")	expect "position $position" "42 2" "$(target dup)" ;;
		"$second")	expect "position $position" "1 42" "$(target dup)" ;;
		*)		fail "no address is ${addresses[$((position - 1))]}" ;;
		esac
		disable_lp $BAD
		unload_lp $BAD
		expect "unpatched" "1 2" "$(target dup)"
	done

	# For a name of which there is only one, 0 and 1 are the same.
	for position in 0 1; do
		load_lp $BAD kind=func object=$TARGET sympos=$position
		expect "sysfs" "core_target_version,1 patched" \
			"$(echo $(ls "$SYSFS_KLP_DIR/$BAD/$TARGET"))"
		expect_versions 42 0
		disable_lp $BAD
		unload_lp $BAD
	done
	unload_mod $TARGET
}

# A second descriptor of a patch that is enabled. The C core destroys what is
# there.
function twice() {
	load_mod $TARGET
	start_log
	load_lp $BAD kind="$1"
	expect "answers" "$BAD: $1: klp_enable_patch() returned 0
$BAD: $1: klp_enable_patch() returned $EEXIST" "$(logged | grep "^$BAD: ")"
	expect_versions 42 0
	expect "patches" $BAD "$(ls "$SYSFS_KLP_DIR")"
	expect "refcnt" 1 "$(cat /sys/module/$BAD/refcnt)"
	disable_lp $BAD
	expect_versions 0 0
	unload_lp $BAD
	good_still_works
}

function failing_again_and_again() {
	local round

	load_mod $TARGET
	for ((round = 0; round < 20; round++)); do
		insmod_fails $BAD "Invalid parameters" kind=func_second \
			symbol=core_target_notrace
	done
	good_still_works
}

# more_than_once() - a name that vmlinux has several functions of
function more_than_once() {
	awk 'NF == 3 && tolower($2) == "t" { n[$3]++ }
	     END { for (name in n) if (n[name] > 1) print name }' /proc/kallsyms |
		sort | grep -xE '[a-z_]+' | head -n 1
}

# undo(function) - says the core when it could not attach to this one
function undo() {
	echo "livepatch: enabling patch '$BAD'
livepatch: '$BAD': initializing patching transition
livepatch: failed to find location for function '$1'
livepatch: failed to patch object '$TARGET'
livepatch: failed to enable patch '$BAD'
livepatch: '$BAD': canceling patching transition, going to unpatch
$(says_disabled $BAD)"
}

# rust_says(kind) - what the Rust core says where the C core only returns an
# error, or does not see that something is wrong
function rust_says() {
	local patch="livepatch: patch '$BAD'"
	local object="$patch: object '$TARGET'"

	case "$1" in
	null_patch)
		echo "livepatch: the patch descriptor is null" ;;
	null_mod)
		echo "livepatch: the patch descriptor has no module" ;;
	null_objs)
		echo "$patch has no list of objects" ;;
	null_funcs)
		echo "$object has no list of functions" ;;
	null_funcs_second)
		echo "$patch: object 'test_klp_mod_target' has no list of functions" ;;
	no_old_name | no_old_name_second | only_sympos)
		echo "$object has a function without a name" ;;
	no_new_func)
		echo "$patch: function 'core_target_version' of object '$TARGET'" \
			"has no replacement" ;;
	no_new_func_second)
		echo "$patch: function 'core_target_version2' of object '$TARGET'" \
			"has no replacement" ;;
	long_func)
		echo "$object has a function with a name that is too long" ;;
	long_object)
		echo "$patch has an object with a name that is too long" ;;
	dup_func | dup_func_sympos)
		echo "$object has the function 'core_target_version' twice" ;;
	dup_object)
		echo "$patch has the object '$TARGET' twice" ;;
	empty_object_name)
		echo "$patch has an object with an empty name" ;;
	esac
}

LONG=$(printf 'f%.0s' {1..511})

CASES=30
if core_is_rust; then
	CASES=36
fi
core_setup $CASES

core_case "no patch" bad null_patch $EINVAL ""
core_case "no module" bad null_mod $EINVAL ""
core_case "no objects" bad null_objs $EINVAL ""
core_case "an object without functions" bad null_funcs $EINVAL ""
core_case "a second object without functions" bad null_funcs_second $EINVAL ""
core_case "a function without a name" bad no_old_name $EINVAL ""
core_case "a second function without a name" bad no_old_name_second $EINVAL ""
core_case "a function with nothing but a position" bad only_sympos $EINVAL ""
core_case "a function without a replacement" bad no_new_func $EINVAL ""
core_case "a second function without a replacement" bad no_new_func_second $EINVAL ""
core_case "a replacement that is no function" bad no_code $ENOENT \
	"livepatch: kallsyms size lookup failed for 'core_target_version' replacement"
core_case "an empty function name" bad empty_func_name $EINVAL \
	"livepatch: symbol '' not found in symbol table"
core_case "the longest function name" bad long_func $EINVAL \
	"livepatch: symbol '$LONG' not found in symbol table" len=511
core_case "a function name that is too long" bad long_func $EINVAL "" len=512
core_case "a function name that is much too long" bad long_func $EINVAL "" len=1000
core_case "an object name that is too long" bad long_object $EINVAL "" len=56
core_case "an object name that is much too long" bad long_object $EINVAL "" len=1000
core_case "an unknown function of the kernel" bad func $EINVAL \
	"livepatch: symbol 'core_no_such_function' not found in symbol table" \
	symbol=core_no_such_function
core_case "an unknown function of a module" bad func $EINVAL \
	"livepatch: symbol 'core_no_such_function' not found in symbol table" \
	symbol=core_no_such_function object=$TARGET
core_case "a module's function, sought in the kernel" bad func $EINVAL \
	"livepatch: symbol 'core_target_version' not found in symbol table"
AMBIGUOUS=$(more_than_once)
core_case "an ambiguous name in the kernel" bad func $EINVAL \
	"livepatch: unresolvable ambiguity for symbol '$AMBIGUOUS' in object '(null)'" \
	symbol="$AMBIGUOUS"
core_case "an ambiguous name in a module" bad func $EINVAL \
	"livepatch: unresolvable ambiguity for symbol 'core_target_dup' in object '$TARGET'" \
	symbol=core_target_dup object=$TARGET
core_case "a position out of range in the kernel" bad func $EINVAL \
	"livepatch: symbol position 2 for symbol 'cmdline_proc_show'"\
" in object 'vmlinux' not found" \
	symbol=cmdline_proc_show sympos=2
core_case "a position out of range in a module" bad func $EINVAL \
	"livepatch: symbol position 3 for symbol 'core_target_dup' in object '$TARGET' not found" \
	symbol=core_target_dup object=$TARGET sympos=3
core_case "positions that are right" sympos
core_case "a second function which cannot be patched" bad func_second $EINVAL \
	"$(undo core_target_notrace)" symbol=core_target_notrace
core_case "20 times a function which cannot be patched" failing_again_and_again
core_case "a module that is not marked" unmarked
core_case "an empty list of objects" empty empty_objs "*/"
core_case "an empty list of functions" empty empty_funcs "$TARGET/"

# On these the C core warns with a call trace, or destroys its own data.
if core_is_rust; then
	core_case "a function twice" bad dup_func $EEXIST ""
	core_case "a function twice, at position 0 and 1" bad dup_func_sympos $EEXIST ""
	core_case "an object twice" bad dup_object $EEXIST ""
	core_case "an object with an empty name" bad empty_object_name $EINVAL ""
	core_case "enabled twice" twice enable_twice
	core_case "two livepatches of one module" twice same_module
fi
core_finish
