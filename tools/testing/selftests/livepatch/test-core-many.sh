#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A livepatch for many functions of a module. What it takes to load it must not
# be a search among all symbols of the module for each of them.

. $(dirname $0)/functions.sh
. $(dirname $0)/core-functions.sh

MOD=test_klp_core_many
PATCH=test_klp_core_many_patch
OTHER=test_klp_core_param1
TRACER=test_klp_core_tracer
MANY=4096
SHOWN=64

# kallsyms goes through all symbols of a module in here, whatever it is asked.
SEARCH=module_address_lookup

# expect_patched(number) - of the functions
function expect_patched() {
	expect "patched functions" "$1" "$(cat /sys/module/$MOD/parameters/patched)"
}

function all_are_patched() {
	load_mod $MOD
	expect_patched 0
	load_lp $PATCH count=$MANY
	expect_patched $MANY
	unload_mod $MOD
	load_mod $MOD
	expect_patched $MANY
	disable_lp $PATCH
	expect_patched 0
	unload_lp $PATCH
	load_lp $PATCH count=100
	expect_patched 100
	disable_lp $PATCH
	unload_lp $PATCH
	unload_mod $MOD
}

# Sorted by address, they are not in their order in the livepatch.
function in_any_order() {
	load_mod $MOD
	load_lp $PATCH count=$MANY shuffle=1
	expect_patched $MANY
	disable_lp $PATCH
	expect_patched 0
	unload_lp $PATCH
	unload_mod $MOD
}

function all_are_replaced() {
	load_mod $MOD
	load_lp $PATCH count=$MANY
	load_lp $OTHER functions=cmdline replace=1
	expect_patched 0
	unload_lp $PATCH
	disable_lp $OTHER
	unload_lp $OTHER
	unload_mod $MOD
}

# Names that only mark code and data, or that an assembler has left: the kernel
# does not take them for symbols either.
MAPPING=' (\$|\.L|L0)'

# sizes(module, prefix) - from $SHOWN of its functions to the next symbol
function sizes() {
	local addr name i last="" from=0
	local -A size

	while read -r addr _ name _; do
		addr=$((16#$addr))
		[[ -z "$last" || $addr -eq $from ]] || size[$last]=$((addr - from))
		last=$name
		from=$addr
	done < <(grep -F "[$1]" /proc/kallsyms | grep -Ev "$MAPPING" | sort)
	for ((i = 0; i < MANY; i += MANY / SHOWN)); do
		printf -v name "%s0%04o" "$2" $i
		echo "${size[$name]}"
	done
}

function right_sizes() {
	load_mod $MOD
	load_lp $PATCH count=$MANY
	expect_same "sizes of functions and replacements" \
		"$(paste -d " " <(sizes $MOD core_target_many_) <(sizes $PATCH many_))" \
		"$(cat /sys/module/$PATCH/parameters/sizes)"
	disable_lp $PATCH
	unload_lp $PATCH
	unload_mod $MOD
}

# searches(command, arguments) - run it, and print how often kallsyms has
# searched meanwhile
function searches() {
	load_mod $TRACER kind=ops functions=$SEARCH
	"$@" >&2
	cut -d , -f 1 /sys/module/$TRACER/parameters/calls
	unload_mod $TRACER
}

# The replacements are there in any case, so loading the livepatch for one
# function has the same searches that have to do with the module as such.
function same_number_of_searches() {
	local count searches patch=() module=()

	grep -qw "^$SEARCH" "$SYSFS_TRACING_DIR/available_filter_functions" ||
		fail "$SEARCH() cannot be traced"
	for count in 1 $MANY; do
		load_mod $MOD
		searches=$(searches load_lp $PATCH count=$count) || exit 1
		patch+=("$searches")
		expect_patched $count
		unload_mod $MOD
		searches=$(searches load_mod $MOD) || exit 1
		module+=("$searches")
		expect_patched $count
		disable_lp $PATCH
		unload_lp $PATCH
		unload_mod $MOD
	done
	# Others may search, too, every now and then.
	echo "loading the livepatch: ${patch[*]} searches, the module: ${module[*]}"
	((patch[1] < patch[0] + MANY / 2)) ||
		fail "loading the livepatch took ${patch[1]} searches instead of ${patch[0]}"
	((module[1] < module[0] + MANY / 2)) ||
		fail "loading the module took ${module[1]} searches instead of ${module[0]}"
}

CASES=4
if core_is_rust; then
	CASES=5
else
	# It waits at each of them, and upstream's functions for a minute at most.
	MANY=128
fi

core_setup $CASES
core_case "each of many functions is patched" all_are_patched
core_case "they are patched in any order" in_any_order
core_case "each of them is the original again when the livepatch is replaced" \
	all_are_replaced
core_case "sizes are those that kallsyms tells" right_sizes
# The C core searches two times for each function.
if core_is_rust; then
	core_case "kallsyms searches no more often for many functions" \
		same_number_of_searches
fi
core_finish
