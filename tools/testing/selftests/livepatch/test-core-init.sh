#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A livepatch names a function in the init section of a module, which is freed
# when the module has started. ftrace must not keep anything of it, as another
# module may get that memory.

. $(dirname $0)/functions.sh
. $(dirname $0)/core-functions.sh

core_is_rust || skip "ftrace keeps what is freed, without CONFIG_LIVEPATCH_RUST"

MOD=test_klp_core_init
PATCH=test_klp_core_init_patch
STACK=test_klp_core_stack
SAYS_GONE="livepatch: patch '$PATCH':"
SAYS_GONE+=" 'core_target_init_once' of '$MOD' is not patched any more: its init section goes"

# expect_init(once, again) - what do the functions answer, or have answered?
function expect_init() {
	expect "the function in the init section" "$1" \
		"$(cat /sys/module/$MOD/parameters/once)"
	expect "the other one" "$2" "$(cat /sys/module/$MOD/parameters/again)"
}

# attached(function) - does ftrace lead it to somebody?
function attached() {
	grep -qw "$1" "$SYSFS_TRACING_DIR/enabled_functions"
}

# expect_let_go() - ftrace was told of all functions that it does not lead to a
# patch any more
function expect_let_go() {
	attached core_target_init_again && fail "ftrace has not let go"
	log_has "livepatch: failed to leave" && fail "ftrace refused to let go"
	true
}

function patch_comes_first() {
	load_mod $TARGET
	load_lp ${STACK}1
	load_lp $PATCH
	start_log
	load_mod $MOD
	expect_init 101 102
	attached core_target_init_once && fail "ftrace has the init section"
	expect "enabled" 1 "$(klp $PATCH enabled)"
	expect "patched" 1 "$(klp $PATCH/$MOD patched)"

	disable_lp $PATCH
	unload_lp $PATCH
	expect_let_go
	log_has "$SAYS_GONE" || fail "the kernel does not say what is gone"
	unload_mod $MOD
	load_mod $MOD
	expect_init 1 2
	unload_mod $MOD

	# What comes later is in force.
	load_lp ${STACK}3
	expect_versions 3 30
	disable_lp ${STACK}3
	unload_lp ${STACK}3
	expect_versions 1 10
	disable_lp ${STACK}1
	unload_lp ${STACK}1
	unload_mod $TARGET
}

function module_comes_again() {
	local i

	load_mod $TARGET
	load_lp ${STACK}1
	load_lp $PATCH
	start_log
	for i in 1 2 3; do
		load_mod $MOD
		expect_init 101 102
		unload_mod $MOD
		expect_let_go
	done
	disable_lp $PATCH
	unload_lp $PATCH
	disable_lp ${STACK}1
	unload_lp ${STACK}1
	unload_mod $TARGET
}

function init_fails() {
	load_mod $TARGET
	load_lp ${STACK}1
	load_lp $PATCH
	start_log
	insmod_fails $MOD "Input/output error" fail=1
	attached core_target_init_once && fail "ftrace has the init section"
	load_mod $MOD
	expect_init 101 102
	disable_lp $PATCH
	unload_lp $PATCH
	expect_init 101 2
	expect_let_go
	unload_mod $MOD
	disable_lp ${STACK}1
	unload_lp ${STACK}1
	unload_mod $TARGET
}

function module_is_there() {
	load_mod $MOD
	insmod_fails $PATCH "Invalid parameters"
	expect_init 1 2
	unload_mod $MOD
}

# The replaced patch has a function that is gone; the new one has not.
function replaced() {
	load_lp $PATCH
	load_mod $MOD
	expect_init 101 102
	load_lp test_klp_core_init_replace
	expect_gone $PATCH
	expect_init 101 202
	unload_lp $PATCH
	unload_mod $MOD
	load_mod $MOD
	expect_init 1 202
	disable_lp test_klp_core_init_replace
	unload_lp test_klp_core_init_replace
	expect_init 1 2
	unload_mod $MOD
}

# The same while the function is still there, but will not be called any more.
function replaced_before_it_goes() {
	local hold=/sys/module/$MOD/parameters/hold pid

	load_lp $PATCH
	start_log
	trap 'echo 0 > "$hold"' EXIT
	log "% insmod test_modules/$MOD.ko hold=1"
	insmod test_modules/$MOD.ko hold=1 &
	pid=$!
	expect_soon "$MOD live" '[[ $(cat /sys/module/$MOD/initstate) == live ]]'
	# The end of this load must not wait for the other one.
	load_lp test_klp_core_init_replace async_probe=1
	expect_gone $PATCH
	expect_init 101 202
	trap - EXIT
	echo 0 > "$hold"
	expect_end $pid || fail "insmod $MOD"
	attached core_target_init_once && fail "ftrace has the init section"
	unload_lp $PATCH
	expect_init 101 202
	disable_lp test_klp_core_init_replace
	unload_lp test_klp_core_init_replace
	expect_init 101 2
	expect_let_go
	unload_mod $MOD
}

core_setup 6
core_case "it is patched as long as it is there" patch_comes_first
core_case "that goes for each time the module comes" module_comes_again
core_case "also when the module fails to start" init_fails
core_case "a livepatch that comes after it is refused" module_is_there
core_case "a livepatch without it replaces the one with it" replaced
core_case "the same just before it goes" replaced_before_it_goes
core_finish
