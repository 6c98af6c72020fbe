#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A module that does it wrong: it calls the four operations when it must not,
# forgets to, or has a livepatch for a function that cannot be patched.

. $(dirname $0)/functions.sh
. $(dirname $0)/core-functions.sh
. $(dirname $0)/core-op-functions.sh

MISUSE=test_klp_core_misuse

# says_returned(function, errno)
function says_returned() {
	echo "$MISUSE: klp_$1_patch() returned $2"
}

function unknown_patch() {
	start_log
	insmod_fails $MISUSE "No space left on device" kind=unknown
	expect_log "% insmod test_modules/$MISUSE.ko kind=unknown
$(says_returned disable -22)
$(says_returned unregister -22)
livepatch: the patch descriptor is null
$(says_returned register -22)
$(says_returned disable -22)
$(says_returned unregister -22)"
}

function twice() {
	load_mod $TARGET
	start_log
	insmod test_modules/$MISUSE.ko kind=twice || fail "insmod $MISUSE"
	rmmod $MISUSE || fail "rmmod $MISUSE"
	expect_log "livepatch: registering patch '$MISUSE'
$(says_returned register 0)
livepatch: patch '$MISUSE' is already registered
$(says_returned register -17)
livepatch: patch '$MISUSE' is already registered
$(says_returned register -17)
livepatch: patch '$MISUSE' is already registered
$(says_returned enable -17)
$(says_returned disable -22)
$(says_returned unregister -22)
livepatch: unregistering patch '$MISUSE'
$(says_returned unregister 0)"
	expect_no_trace $MISUSE
	unload_mod $TARGET
}

# says_refused_in_callback(operations...)
function says_refused_in_callback() {
	local op

	for op in "$@"; do
		echo "livepatch: klp_${op}_patch() is not possible in a callback
$(says_returned $op -16)"
	done
}

# in_callback(kind)
function in_callback() {
	load_mod $TARGET
	insmod test_modules/$MISUSE.ko kind=$1 || fail "insmod $MISUSE"
	start_log
	if [[ $1 == veto ]]; then
		set_enabled_fails $MISUSE 1 "Numerical argument out of domain"
		expect_log "% echo 1 > $SYSFS_KLP_DIR/$MISUSE/enabled
livepatch: enabling patch '$MISUSE'
livepatch: '$MISUSE': initializing patching transition
$MISUSE: pre_patch
$(says_refused_in_callback register enable disable unregister)
livepatch: pre-patch callback failed for object '$TARGET'
livepatch: failed to enable patch '$MISUSE'
livepatch: '$MISUSE': canceling patching transition, going to unpatch
livepatch: '$MISUSE': completing unpatching transition
livepatch: '$MISUSE': unpatching complete"
	else
		set_enabled $MISUSE 1
		end_transition $MISUSE
		expect_versions 1 0
		set_enabled $MISUSE 0
	fi
	expect_disabled $MISUSE
	expect_versions 0 0
	rmmod $MISUSE || fail "rmmod $MISUSE"
	expect_no_trace $MISUSE
	[[ $1 == veto ]] || [[ $(logged) == *"post_unpatch
$(says_refused_in_callback unregister)
livepatch: '$MISUSE': unpatching complete"* ]] || fail "unexpected: $(logged)"
	unload_mod $TARGET
}

# init_fails(kind, lines) - the module is loaded as far as its init function
function init_fails() {
	load_mod $TARGET
	start_log
	insmod_fails $MISUSE "No space left on device" "kind=\"$1\""
	expect "patches" "" "$(ls "$SYSFS_KLP_DIR")"
	[[ $(logged) == *"
livepatch: module '$MISUSE' goes and its patch is still there: removing it"* ]] ||
		fail "unexpected: $(logged)"
	expect_versions 0 0
	unload_mod $TARGET
}

function forgets() {
	local i

	load_mod $TARGET
	for i in 1 2; do
		insmod test_modules/$MISUSE.ko kind=forgets || fail "insmod $MISUSE"
		set_enabled $MISUSE 1
		end_transition $MISUSE
		expect_versions 1 0
		expect_in_use $MISUSE
		set_enabled $MISUSE 0
		expect_disabled $MISUSE
		start_log
		rmmod $MISUSE || fail "rmmod $MISUSE"
		expect_log "livepatch: module '$MISUSE' goes and its patch is still there: removing it
livepatch: unregistering patch '$MISUSE'"
		expect_no_trace $MISUSE
	done
	unload_mod $TARGET
}

function bad_function() {
	load_mod $TARGET
	start_log
	insmod_fails $MISUSE "Invalid parameters" symbol=core_target_unknown
	expect_log "% insmod test_modules/$MISUSE.ko symbol=core_target_unknown
livepatch: registering patch '$MISUSE'
livepatch: symbol 'core_target_unknown' not found in symbol table
$(says_returned register -22)"

	# It is registered without the object, whose module comes and is not
	# kept away by a livepatch that is not in use.
	unload_mod $TARGET
	insmod test_modules/$MISUSE.ko symbol=core_target_unknown || fail "insmod $MISUSE"
	load_mod $TARGET
	start_log
	set_enabled_fails $MISUSE 1 "$EINVAL"
	expect_log "% echo 1 > $SYSFS_KLP_DIR/$MISUSE/enabled
livepatch: symbol 'core_target_unknown' not found in symbol table"
	expect_disabled $MISUSE
	# Without the module there is nothing to find.
	unload_mod $TARGET
	set_enabled $MISUSE 1
	expect_enabled $MISUSE 1
	insmod_fails $TARGET "Invalid parameters"
	set_enabled $MISUSE 0
	expect_disabled $MISUSE
	rmmod $MISUSE || fail "rmmod $MISUSE"

	# ftrace cannot attach to this one: that is found when it is enabled.
	load_mod $TARGET
	insmod test_modules/$MISUSE.ko symbol=core_target_notrace || fail "insmod $MISUSE"
	set_enabled_fails $MISUSE 1 "$EINVAL"
	expect_disabled $MISUSE
	rmmod $MISUSE || fail "rmmod $MISUSE"
	unload_mod $TARGET
}

core_setup 9
core_case "a livepatch that nobody knows" unknown_patch
core_case "registered twice" twice
core_case "from within callbacks" in_callback callback
core_case "from within a callback that fails" in_callback veto
core_case "the module's init function registers and fails" init_fails fails
core_case "it registers, enables and fails" init_fails "enabled fails"
core_case "it enables a one-shot livepatch and fails" init_fails "one-shot fails"
core_case "the module does not unregister its livepatch" forgets
core_case "a function that does not exist, now or later" bad_function
core_finish
