#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A function with a direct caller, such as a BPF trampoline, is patched only if
# that one agrees: a patch that went on without asking would be enabled and yet
# not used.

. $(dirname $0)/functions.sh
. $(dirname $0)/core-functions.sh

DIRECT=test_klp_core_direct
PATCH=test_klp_bad
OTHER=test_klp_livepatch
REFUSAL="livepatch: failed to register ftrace handler"
REFUSAL+=" for function 'core_target_version' (-16)"

# refused() - $PATCH cannot be enabled, and says on account of which function
function refused() {
	start_log
	insmod_fails $PATCH "Device or resource busy" kind=good
	logged | grep -qxF "$REFUSAL" || fail "no message, or the wrong one"
	expect_versions 0 0
}

function accepted() {
	load_lp $PATCH kind=good
	expect_versions 42 0
	disable_lp $PATCH
	unload_lp $PATCH
	expect_versions 0 0
}

function first_patch() {
	load_mod $TARGET
	load_mod $DIRECT
	refused
	unload_mod $DIRECT
	accepted
	unload_mod $TARGET
}

# The core has its handler in use when the function is to be patched.
function later_patch() {
	load_mod $TARGET
	load_lp $OTHER
	load_mod $DIRECT
	refused
	expect "the other patch" "$OTHER: this has been live patched" "$(cat /proc/cmdline)"
	unload_mod $DIRECT
	accepted
	disable_lp $OTHER
	unload_lp $OTHER
	unload_mod $TARGET
}

# shared(module...) - the direct caller agrees, with the other livepatch or not
function shared() {
	load_mod $TARGET
	for mod; do
		load_lp "$mod"
	done
	load_mod $DIRECT agree=1
	accepted
	accepted
	unload_mod $DIRECT
	accepted
	for mod; do
		disable_lp "$mod"
		unload_lp "$mod"
	done
	unload_mod $TARGET
}

core_setup 4
core_case "a direct caller, before the first patch" first_patch
core_case "a direct caller, while another patch is enabled" later_patch
core_case "a direct caller that agrees, before the first patch" shared
core_case "a direct caller that agrees, while another patch is enabled" shared $OTHER
core_finish
