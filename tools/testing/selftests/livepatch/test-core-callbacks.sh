#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Callbacks when something goes wrong: exactly those post-unpatch callbacks
# run whose pre-patch callback had succeeded, and a module whose livepatch
# cannot be applied is refused.
#
# The livepatches are test_klp_core_param*.ko, made of parameters.

. $(dirname $0)/functions.sh
. $(dirname $0)/core-functions.sh

P1=test_klp_core_param1
P2=test_klp_core_param2
P3=test_klp_core_param3
OTHER=test_klp_mod_target
ENODEV="No such device"
EINVAL="Invalid parameters"
OTHER_INIT="$OTHER: test_klp_mod_target_init"
OTHER_EXIT="$OTHER: test_klp_mod_target_exit"
# One function in each of three objects: the kernel, $TARGET, $OTHER.
ALL=cmdline,version,show

# expect_unpatched() - everything is original
function expect_unpatched() {
	expect "patches" "" "$(ls "$SYSFS_KLP_DIR")"
	expect /proc/cmdline "$CMDLINE" "$(cat /proc/cmdline)"
	expect_versions 0 0
	expect /proc/$OTHER "$OTHER: original output" "$(cat /proc/$OTHER)"
	grep -E "$CORE_PATCHED" "$SYSFS_TRACING_DIR/enabled_functions" &&
		fail "something is attached"
}

# says_refused(patch, module)
function says_refused() {
	echo "livepatch: patch '$1' failed for module '$2', refusing to load module '$2'"
}

# says_applying(patch, module)
function says_applying() {
	echo "livepatch: applying patch '$1' to loading module '$2'"
}

# says_vetoed(object)
function says_vetoed() {
	echo "livepatch: pre-patch callback failed for object '$1'"
}

# says_undone(patch, module) - what was applied to the loading module is undone
function says_undone() {
	echo "$1: pre_unpatch: $2
livepatch: reverting patch '$1' on unloading module '$2'
$1: post_unpatch: $2"
}

# vetoed(object, other objects) - its callback fails; the others' succeed before
function vetoed() {
	local object="$1"; shift
	local parameters="functions=$ALL callbacks=1"
	local failing="$parameters pre_patch_fails=$object"
	local called undone=

	called=$(printf "$P1: pre_patch: %s\n" "$@" "$object")
	[[ $# -eq 0 ]] || undone=$(printf "\n$P1: post_unpatch: %s" "$@")

	load_mod $TARGET
	load_mod $OTHER
	start_log
	insmod_fails $P1 "$ENODEV" $failing
	expect_log "% insmod test_modules/$P1.ko $failing
livepatch: enabling patch '$P1'
livepatch: '$P1': initializing patching transition
$called
$(says_vetoed $object)
livepatch: failed to enable patch '$P1'
livepatch: '$P1': canceling patching transition, going to unpatch
livepatch: '$P1': completing unpatching transition$undone
livepatch: '$P1': unpatching complete"
	expect_unpatched

	load_lp $P1 $parameters
	expect_versions 1 0
	expect /proc/$OTHER "$P1: version 1" "$(cat /proc/$OTHER)"
	disable_lp $P1
	expect_unpatched
	unload_lp $P1
	unload_mod $OTHER
	unload_mod $TARGET
}

# The pre-patch callback of the object which cannot be attached was run.
function attach_fails() {
	local parameters="functions=cmdline,version,notrace,show callbacks=1"

	load_mod $TARGET
	load_mod $OTHER
	start_log
	insmod_fails $P1 "$EINVAL" $parameters
	expect_log "% insmod test_modules/$P1.ko $parameters
livepatch: enabling patch '$P1'
livepatch: '$P1': initializing patching transition
$P1: pre_patch: vmlinux
$P1: pre_patch: $TARGET
livepatch: failed to find location for function 'core_target_notrace'
livepatch: failed to patch object '$TARGET'
livepatch: failed to enable patch '$P1'
livepatch: '$P1': canceling patching transition, going to unpatch
$(with_callbacks "$(says_disabled $P1)" post_unpatch $P1 vmlinux $TARGET)"
	expect_unpatched
	unload_mod $OTHER
	unload_mod $TARGET
}

# tell_callback(patch, object) - whose pre-patch callback is to fail now
function tell_callback() {
	echo "$2" > "/sys/module/$1/parameters/pre_patch_fails" ||
		fail "cannot write to the parameter"
}

function late_module_vetoed() {
	local round

	load_lp $P1 functions=$ALL callbacks=1
	for round in 1 2; do
		tell_callback $P1 $OTHER
		start_log
		insmod_fails $OTHER "$ENODEV"
		expect_log "% insmod test_modules/$OTHER.ko
$(says_applying $P1 $OTHER)
$P1: pre_patch: $OTHER
$(says_vetoed $OTHER)
$(says_refused $P1 $OTHER)"
		expect "patched" 0 "$(klp $P1 $OTHER/patched)"
		expect "enabled" 1 "$(klp $P1 enabled)"

		tell_callback $P1 ""
		start_log
		load_mod $OTHER
		expect "patched" 1 "$(klp $P1 $OTHER/patched)"
		expect /proc/$OTHER "$P1: version 1" "$(cat /proc/$OTHER)"
		unload_mod $OTHER
		expect "patched" 0 "$(klp $P1 $OTHER/patched)"
		expect_log "% insmod test_modules/$OTHER.ko
$(says_applying $P1 $OTHER)
$P1: pre_patch: $OTHER
$P1: post_patch: $OTHER
$OTHER_INIT
% rmmod $OTHER
$OTHER_EXIT
$(says_undone $P1 $OTHER)"
	done

	# In the end, nothing more is done for the module.
	tell_callback $P1 $OTHER
	insmod_fails $OTHER "$ENODEV"
	start_log
	disable_lp $P1
	expect_log "% echo 0 > $SYSFS_KLP_DIR/$P1/enabled
$(with_callbacks "$(says_disabling $P1)" pre_unpatch $P1 vmlinux)
$(with_callbacks "$(says_disabled $P1)" post_unpatch $P1 vmlinux)"
	unload_lp $P1
}

# late_module_fails(function, lines) - the module cannot be patched
function late_module_fails() {
	local i

	load_lp $P1 functions=cmdline,version,$1 callbacks=1
	for i in 1 2; do
		start_log
		insmod_fails $TARGET "$EINVAL"
		expect_log "% insmod test_modules/$TARGET.ko
$2
$(says_refused $P1 $TARGET)"
		expect "patched" 0 "$(klp $P1 $TARGET/patched)"
		grep core_target "$SYSFS_TRACING_DIR/enabled_functions" &&
			fail "something is attached"
	done
	disable_lp $P1
	load_mod $TARGET
	expect_versions 0 0
	unload_mod $TARGET
	unload_lp $P1
}

# Of three livepatches the second one fails: the first is undone, the third
# never asked.
function second_livepatch() {
	load_lp $P1 functions=version callbacks=1
	load_lp $P2 functions=version,version2 callbacks=1 version=2
	load_lp $P3 functions=version2 callbacks=1 version=3
	tell_callback $P2 $TARGET
	start_log
	insmod_fails $TARGET "$ENODEV"
	tell_callback $P2 ""
	load_mod $TARGET
	expect_versions 2 3
	unload_mod $TARGET
	expect_log "% insmod test_modules/$TARGET.ko
$(says_applying $P1 $TARGET)
$P1: pre_patch: $TARGET
$P1: post_patch: $TARGET
$(says_applying $P2 $TARGET)
$P2: pre_patch: $TARGET
$(says_vetoed $TARGET)
$(says_refused $P2 $TARGET)
$(says_undone $P1 $TARGET)
% insmod test_modules/$TARGET.ko
$(for i in $P1 $P2 $P3; do
	says_applying $i $TARGET
	echo "$i: pre_patch: $TARGET"
	echo "$i: post_patch: $TARGET"
done)
% rmmod $TARGET
$(for i in $P1 $P2 $P3; do says_undone $i $TARGET; done)"
	disable_lp $P3
	disable_lp $P2
	disable_lp $P1
	unload_lp $P3
	unload_lp $P2
	unload_lp $P1
}

# The same while the second one is being enabled: its post-patch callback runs
# when that is complete.
function second_while_enabling() {
	load_mod $TARGET
	load_lp $P1 functions=show callbacks=1
	start_sleeper
	load_lp_nowait $P2 functions=busy,show callbacks=1 version=2
	only_waits_for $SLEEPER 0
	tell_callback $P2 $OTHER
	start_log
	insmod_fails $OTHER "$ENODEV"
	expect_blocked $P2 1
	tell_callback $P2 ""
	load_mod $OTHER
	expect_blocked $P2 1
	expect /proc/$OTHER "$P2: version 2" "$(cat /proc/$OTHER)"
	release_sleepers
	end_transition $P2
	expect_log "% insmod test_modules/$OTHER.ko
$(says_applying $P1 $OTHER)
$P1: pre_patch: $OTHER
$P1: post_patch: $OTHER
$(says_applying $P2 $OTHER)
$P2: pre_patch: $OTHER
$(says_vetoed $OTHER)
$(says_refused $P2 $OTHER)
$(says_undone $P1 $OTHER)
% insmod test_modules/$OTHER.ko
$(says_applying $P1 $OTHER)
$P1: pre_patch: $OTHER
$P1: post_patch: $OTHER
$(says_applying $P2 $OTHER)
$P2: pre_patch: $OTHER
$OTHER_INIT
% release the sleepers
$(with_callbacks "$(says_enabled $P2)" post_patch $P2 $TARGET $OTHER)"
	disable_lp $P2
	disable_lp $P1
	unload_mod $OTHER
	unload_mod $TARGET
	unload_lp $P2
	unload_lp $P1
}

# While the first one is being disabled it still gets the module, for tasks
# which need it. Its pre-unpatch callbacks are over.
function first_while_disabling() {
	load_mod $TARGET
	load_lp $P1 functions=busy,show callbacks=1
	load_lp $P2 functions=show callbacks=1 version=2
	start_sleeper
	write "$SYSFS_KLP_DIR/$P1/enabled" 0
	only_waits_for $SLEEPER 1
	tell_callback $P2 $OTHER
	start_log
	insmod_fails $OTHER "$ENODEV"
	expect_blocked $P1 0
	tell_callback $P2 ""
	load_mod $OTHER
	expect_blocked $P1 0
	expect /proc/$OTHER "$P2: version 2" "$(cat /proc/$OTHER)"
	release_sleepers
	expect_gone $P1
	expect /proc/$OTHER "$P2: version 2" "$(cat /proc/$OTHER)"
	expect_log "% insmod test_modules/$OTHER.ko
$(says_applying $P1 $OTHER)
$P1: pre_patch: $OTHER
$(says_applying $P2 $OTHER)
$P2: pre_patch: $OTHER
$(says_vetoed $OTHER)
$(says_refused $P2 $OTHER)
livepatch: reverting patch '$P1' on unloading module '$OTHER'
$P1: post_unpatch: $OTHER
% insmod test_modules/$OTHER.ko
$(says_applying $P1 $OTHER)
$P1: pre_patch: $OTHER
$(says_applying $P2 $OTHER)
$P2: pre_patch: $OTHER
$P2: post_patch: $OTHER
$OTHER_INIT
% release the sleepers
$(with_callbacks "$(says_disabled $P1)" post_unpatch $P1 $TARGET $OTHER)"
	disable_lp $P2
	unload_mod $OTHER
	unload_mod $TARGET
	unload_lp $P2
	unload_lp $P1
}

function reversed() {
	local enabled="$SYSFS_KLP_DIR/$P1/enabled"

	load_mod $TARGET
	start_sleeper
	start_log
	load_lp_nowait $P1 functions=cmdline,busy callbacks=1
	only_waits_for $SLEEPER 0
	write "$enabled" 0
	expect_gone $P1
	release_sleepers
	expect_log "% insmod test_modules/$P1.ko functions=cmdline,busy callbacks=1
$(with_callbacks "$(says_enabling $P1)" pre_patch $P1 vmlinux $TARGET)
% echo 0 > $enabled
$(says_reversing_to_unpatching $P1)
$(with_callbacks "$(says_disabled $P1)" post_unpatch $P1 vmlinux $TARGET)
% release the sleepers"
	unload_lp $P1

	# The post-patch callback runs once more.
	load_lp $P1 functions=cmdline,busy callbacks=1
	start_sleeper
	start_log
	write "$enabled" 0
	only_waits_for $SLEEPER 1
	write "$enabled" 1
	end_transition $P1
	release_sleepers
	expect_log "% echo 0 > $enabled
$(with_callbacks "$(says_disabling $P1)" pre_unpatch $P1 vmlinux $TARGET)
% echo 1 > $enabled
$(says_reversing_to_patching $P1)
$(with_callbacks "$(says_enabled $P1)" post_patch $P1 vmlinux $TARGET)
% release the sleepers"
	disable_lp $P1
	unload_lp $P1
	unload_mod $TARGET
}

core_setup 11
core_case "the callback of the first object fails" vetoed vmlinux
core_case "the callback of the second object fails" vetoed $TARGET vmlinux
core_case "the callback of the last object fails" vetoed $OTHER vmlinux $TARGET
core_case "the second object cannot be attached" attach_fails
core_case "the callback for a late module fails, succeeds, fails" late_module_vetoed
core_case "a late module cannot be attached" late_module_fails notrace \
	"$(says_applying $P1 $TARGET)
$P1: pre_patch: $TARGET
livepatch: failed to find location for function 'core_target_notrace'
livepatch: failed to apply patch '$P1' to module '$TARGET' (-22)
$P1: post_unpatch: $TARGET"
core_case "a late module lacks a function" late_module_fails unknown \
	"livepatch: symbol 'core_target_unknown' not found in symbol table
livepatch: failed to initialize patch '$P1' for module '$TARGET' (-22)"
core_case "the second of three livepatches refuses a late module" second_livepatch
core_case "the second one does so while it is being enabled" second_while_enabling
core_case "the second one does so while the first is being disabled" first_while_disabling
core_case "transitions that are reversed" reversed
core_finish
