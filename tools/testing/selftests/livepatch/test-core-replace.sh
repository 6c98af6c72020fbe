#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Atomic replace: what the new livepatch has no function for goes back to the
# original, by nops that exist as long as the transition takes; nobody is left
# of the old livepatches; and a replacement that does not come off changes
# nothing.
#
# The livepatches are test_klp_core_param*.ko, made of parameters.

. $(dirname $0)/functions.sh
. $(dirname $0)/core-functions.sh

P1=test_klp_core_param1
P2=test_klp_core_param2
P3=test_klp_core_param3
STACK2=test_klp_core_stack2
OTHER=test_klp_mod_target
EBUSY="Device or resource busy"
EINVAL="Invalid parameters"
ENODEV="No such device"
ROUNDS=3

# directories(patch) - its objects and functions in sysfs
function directories() {
	(
		cd "$SYSFS_KLP_DIR/$1" || exit
		shopt -s nullglob
		printf "%s\n" */ */*/ | sed -e '/^$/d' -e 's:/$::' | LC_ALL=C sort
	)
}

# expect_directories(patch, object or object/function,sympos...)
function expect_directories() {
	local patch="$1"; shift

	expect_same "objects and functions of $patch" \
		"$(printf "%s\n" "$@" | LC_ALL=C sort)" "$(directories $patch)"
}

# attached() - the functions which ftrace calls a livepatch for
function attached() {
	echo $(grep -Eo "$CORE_PATCHED" "$SYSFS_TRACING_DIR/enabled_functions" |
		LC_ALL=C sort -u)
}

# everything() - all that must be the same again after an attempt
function everything() {
	local patch

	for patch in $(cd "$SYSFS_KLP_DIR" && echo *); do
		echo "$patch: enabled $(klp $patch enabled)" \
			"transition $(klp $patch transition)" \
			"order $(klp $patch stack_order)"
		grep . "$SYSFS_KLP_DIR/$patch"/*/patched
		directories $patch
	done
	echo "attached: $(attached)"
	echo "answers: $(target version) $(target version2) $(cat /proc/cmdline)"
	lsmod | awk '$1 ~ /^test_klp/ { print $1, $3 }' | LC_ALL=C sort
}

# expect_other(who) - whose function answers in the other module
function expect_other() {
	expect /proc/$OTHER "$1" "$(cat /proc/$OTHER)"
}

# expect_alone(patch) - it is the only one
function expect_alone() {
	expect_soon "$1 alone" '[[ "$(ls "$SYSFS_KLP_DIR")" == '"$1"' ]]'
	expect "stack_order of $1" 1 "$(klp "$1" stack_order)"
	expect "transition of $1" 0 "$(klp "$1" transition)"
	expect "enabled of $1" 1 "$(klp "$1" enabled)"
}

# finish(patches) - the first one is enabled, the others only loaded
function finish() {
	local patch

	disable_lp $1
	expect "patches" "" "$(ls "$SYSFS_KLP_DIR")"
	expect "attached" "" "$(attached)"
	expect /proc/cmdline "$CMDLINE" "$(cat /proc/cmdline)"
	if [[ -d "$TARGET_DIR" ]]; then
		expect_versions 0 0
		unload_mod $TARGET
	fi
	if [[ -e /proc/$OTHER ]]; then
		expect_other "$OTHER: original output"
		unload_mod $OTHER
	fi
	for patch in "$@"; do
		unload_lp $patch
	done
}

function nops() {
	load_mod $TARGET
	load_lp $P1 functions=cmdline,version,version2,busy
	expect_versions 1 1
	start_sleeper
	start_log
	load_lp_nowait $P2 functions=version version=2 replace=1
	expect_blocked $P2 1
	only_waits_for $SLEEPER 0
	expect_blocked $P2 1
	expect "replace" 1 "$(klp $P2 replace)"
	expect_directories $P2 vmlinux vmlinux/cmdline_proc_show,1 $TARGET \
		$TARGET/core_target_version,1 $TARGET/core_target_version2,1 \
		$TARGET/core_target_busy,1
	expect "patched of the kernel" 1 "$(klp $P2 vmlinux/patched)"
	expect "patched of the module" 1 "$(klp $P2 $TARGET/patched)"
	expect "patches" "$P1 $P2" "$(echo $(ls "$SYSFS_KLP_DIR"))"
	expect "enabled of the old one" 1 "$(klp $P1 enabled)"
	expect "order of the old one" 1 "$(klp $P1 stack_order)"
	expect "order of the new one" 2 "$(klp $P2 stack_order)"
	expect_in_use $P1
	# This task has been switched.
	expect_versions 2 0
	expect /proc/cmdline "$CMDLINE" "$(cat /proc/cmdline)"

	release_sleepers
	end_transition $P2
	wait $SLEEPER
	expect "answer of the sleeper" 1 "$(cat "$CORE_TMP/busy.1")"
	expect_alone $P2
	expect_directories $P2 $TARGET $TARGET/core_target_version,1
	expect "attached" core_target_version "$(attached)"
	expect_versions 2 0
	expect /proc/cmdline "$CMDLINE" "$(cat /proc/cmdline)"
	expect_log "% insmod test_modules/$P2.ko functions=version version=2 replace=1
$(says_enabling $P2)
% release the sleepers
$(says_enabled $P2)"
	unload_lp $P1
	# Nobody patches it any more, so nobody is kept waiting.
	start_sleeper
	disable_lp $P2
	expect "sleepers" 1 "$(target sleepers)"
	unload_lp $P2
	release_sleepers
	unload_mod $TARGET
}

# The nops are gone before the modules come.
function late_after() {
	load_lp $P1 functions=cmdline,version,version2,show
	load_lp $P2 functions=version version=2 replace=1
	expect_alone $P2
	expect_directories $P2 $TARGET $TARGET/core_target_version,1
	expect /proc/cmdline "$CMDLINE" "$(cat /proc/cmdline)"
	start_log
	load_mod $TARGET
	load_mod $OTHER
	expect_log "% insmod test_modules/$TARGET.ko
livepatch: applying patch '$P2' to loading module '$TARGET'
% insmod test_modules/$OTHER.ko
$OTHER: test_klp_mod_target_init"
	expect_versions 2 0
	expect_other "$OTHER: original output"
	expect "attached" core_target_version "$(attached)"
	finish $P2 $P1
}

# other_comes(patches) - and these are applied, in this order
function other_comes() {
	local patch says="% insmod test_modules/$OTHER.ko"

	start_log
	load_mod $OTHER
	for patch in "$@"; do
		says+="
livepatch: applying patch '$patch' to loading module '$OTHER'"
		expect "patched of $patch" 1 "$(klp $patch $OTHER/patched)"
	done
	expect_log "$says
$OTHER: test_klp_mod_target_init"
	grep -qw test_klp_mod_target_show "$SYSFS_TRACING_DIR/enabled_functions" ||
		fail "nothing is attached in $OTHER"
}

# other_goes(patches)
function other_goes() {
	local patch says="% rmmod $OTHER
$OTHER: test_klp_mod_target_exit"

	start_log
	unload_mod $OTHER
	for patch in "$@"; do
		says+="
livepatch: reverting patch '$patch' on unloading module '$OTHER'"
		expect "patched of $patch" 0 "$(klp $patch $OTHER/patched)"
	done
	expect_log "$says"
	grep -w test_klp_mod_target_show "$SYSFS_TRACING_DIR/enabled_functions" &&
		fail "something is attached that is not there"
}

# late_during(functions of the new livepatch, who answers in the other module)
function late_during() {
	load_mod $TARGET
	load_lp $P1 functions=version2,busy,show
	start_sleeper
	load_lp_nowait $P2 functions="$1" version=2 replace=1
	only_waits_for $SLEEPER 0
	expect "patched, not loaded" 0 "$(klp $P2 $OTHER/patched)"
	other_comes $P1 $P2
	expect_other "$2"
	expect_blocked $P2 1
	other_goes $P1 $P2
	expect_blocked $P2 1
	other_comes $P1 $P2
	expect_other "$2"
	expect_versions 2 0
	expect_blocked $P2 1
	release_sleepers
	end_transition $P2
	expect_alone $P2
	expect_versions 2 0
	expect_other "$2"
	if [[ "$1" == *show* ]]; then
		expect "attached" "core_target_version test_klp_mod_target_show" \
			"$(attached)"
		other_goes $P2
		other_comes $P2
		expect_other "$2"
	else
		expect "attached" core_target_version "$(attached)"
		expect_directories $P2 $TARGET $TARGET/core_target_version,1
		other_goes
	fi
	finish $P2 $P1
}

# The module goes during the transition and only comes back after it.
function gone_during() {
	load_mod $TARGET
	load_mod $OTHER
	load_lp $P1 functions=busy,show
	start_sleeper
	load_lp_nowait $P2 functions=version version=2 replace=1
	only_waits_for $SLEEPER 0
	expect_other "$OTHER: original output"
	other_goes $P1 $P2
	expect_directories $P2 $TARGET $TARGET/core_target_version,1 \
		$TARGET/core_target_busy,1 $OTHER $OTHER/test_klp_mod_target_show,1
	release_sleepers
	end_transition $P2
	expect_alone $P2
	expect_directories $P2 $TARGET $TARGET/core_target_version,1
	load_mod $OTHER
	expect_other "$OTHER: original output"
	expect "attached" core_target_version "$(attached)"
	finish $P2 $P1
}

# All of them at once, and the transition waits for who is in the lowest one.
function several() {
	load_mod $TARGET
	load_lp $P1 functions=cmdline,version,busy
	load_lp $STACK2
	load_lp $P3 functions=version2 version=3
	expect_versions 2 3
	start_sleeper
	load_lp_nowait $P2 functions=busy version=4 replace=1
	only_waits_for $SLEEPER 0
	expect_blocked $P2 1
	expect_directories $P2 vmlinux vmlinux/cmdline_proc_show,1 $TARGET \
		$TARGET/core_target_version,1 $TARGET/core_target_version2,1 \
		$TARGET/core_target_busy,1
	expect "stack_order" 4 "$(klp $P2 stack_order)"
	expect "number of patches" 4 "$(ls "$SYSFS_KLP_DIR" | wc -l)"
	expect_versions 0 0
	expect /proc/cmdline "$CMDLINE" "$(cat /proc/cmdline)"
	release_sleepers
	end_transition $P2
	wait $SLEEPER
	expect "answer of the sleeper" 1 "$(cat "$CORE_TMP/busy.1")"
	expect_alone $P2
	expect_directories $P2 $TARGET $TARGET/core_target_busy,1
	expect "attached" core_target_busy "$(attached)"
	unload_lp $STACK2
	unload_lp $P1
	start_sleeper
	release_sleepers
	wait $SLEEPER
	expect "answer of the next sleeper" 4 "$(cat "$CORE_TMP/busy.1")"
	finish $P2 $P3
}

# A livepatch without any function puts everything back.
function empty() {
	load_mod $TARGET
	load_lp $P1 functions=cmdline,version,version2,show
	load_lp $P2 replace=1
	expect_alone $P2
	expect_directories $P2
	expect "attached" "" "$(attached)"
	expect_versions 0 0
	expect /proc/cmdline "$CMDLINE" "$(cat /proc/cmdline)"
	load_mod $OTHER
	expect_other "$OTHER: original output"
	finish $P2 $P1
}

# A position of 0 and one of 1 mean the same function: it gets no nop. Two
# functions of one name are two.
function positions() {
	local second

	load_mod $TARGET
	load_lp $P3 functions=dup2 version=2
	second=$(target dup)
	expect "only the second one" 1 "$(echo "$second" | grep -cxE '1 2|2 2')"
	disable_lp $P3
	unload_lp $P3

	load_lp $P1 functions=version,dup1,dup2,busy version=7
	expect "both" "7 7" "$(target dup)"
	start_sleeper
	load_lp_nowait $P2 functions=version,dup2 sympos=1 version=2 replace=1
	only_waits_for $SLEEPER 0
	expect_directories $P2 $TARGET $TARGET/core_target_version,1 \
		$TARGET/core_target_busy,1 $TARGET/core_target_dup,1 \
		$TARGET/core_target_dup,2
	expect "one is replaced, one put back" "$second" "$(target dup)"
	release_sleepers
	end_transition $P2
	expect_alone $P2
	expect_directories $P2 $TARGET $TARGET/core_target_version,1 \
		$TARGET/core_target_dup,2
	expect "one is replaced, one put back" "$second" "$(target dup)"
	unload_lp $P1

	# And from 1 to 0.
	load_lp $P3 functions=version version=3 replace=1
	expect_alone $P3
	expect_versions 3 0
	expect "both put back" "1 2" "$(target dup)"
	finish $P3 $P2
}

function reversed() {
	local before enabled="$SYSFS_KLP_DIR/$P2/enabled"

	load_mod $TARGET
	load_lp $P1 functions=cmdline,version,busy
	load_lp $STACK2
	start_sleeper
	before=$(everything)
	start_log
	load_lp_nowait $P2 functions=version2 version=3 replace=1
	only_waits_for $SLEEPER 0
	expect_versions 0 3
	write "$enabled" 0
	expect_gone $P2
	unload_lp $P2
	expect_same "after the attempt" "$before" "$(everything)"
	expect_log "% insmod test_modules/$P2.ko functions=version2 version=3 replace=1
$(says_enabling $P2)
% echo 0 > $enabled
$(says_reversing_to_unpatching $P2)
$(says_disabled $P2)
% rmmod $P2"

	# Once more, back, and forth again: one sleeps here and one there.
	load_lp_nowait $P2 functions=version2,busy version=3 replace=1
	expect_soon "this shell switched" '[[ $(cat /proc/$BASHPID/patch_state) == 1 ]]'
	start_sleeper
	write "$enabled" 0
	expect_blocked $P2 0
	expect_soon "the old code" '[[ "$(target version) $(target version2)" == "2 0" ]]'
	expect /proc/cmdline "$STACK2: version 2" "$(cat /proc/cmdline)"
	write "$enabled" 1
	expect_blocked $P2 1
	expect_soon "the new code" '[[ "$(target version) $(target version2)" == "0 3" ]]'
	expect /proc/cmdline "$CMDLINE" "$(cat /proc/cmdline)"
	release_sleepers
	end_transition $P2
	expect_alone $P2
	wait
	expect "answer of the old function" 1 "$(cat "$CORE_TMP/busy.1")"
	expect "answer of the new function" 3 "$(cat "$CORE_TMP/busy.2")"
	expect "attached" "core_target_busy core_target_version2" "$(attached)"
	unload_lp $STACK2
	finish $P2 $P1
}

# Whoever comes between is refused, and nothing changes.
function busy() {
	local before

	load_mod $TARGET
	load_lp $STACK2
	load_lp $P1 functions=version2,busy
	start_sleeper
	load_lp_nowait $P2 functions=version version=2 replace=1
	only_waits_for $SLEEPER 0
	before=$(everything)
	start_log
	insmod_fails $P3 "$EBUSY" functions=cmdline,version,version2
	insmod_fails $P3 "$EBUSY" functions=cmdline replace=1
	insmod_fails $P3 "$EBUSY" replace=1
	expect_write_error "$SYSFS_KLP_DIR/$P1/enabled" 0 "$EBUSY"
	expect_write_error "$SYSFS_KLP_DIR/$STACK2/enabled" 0 "$EBUSY"
	logged | grep livepatch: && fail "the core has something to say"
	expect_same "after the attempts" "$before" "$(everything)"
	expect_blocked $P2 1
	release_sleepers
	end_transition $P2
	expect_alone $P2
	expect_versions 2 0
	unload_lp $STACK2
	unload_lp $P1
	load_lp $P3 functions=cmdline version=3 replace=1
	expect_alone $P3
	expect_versions 0 0
	finish $P3 $P2
}

# failing(error, parameters) - the replacement cannot be applied
function failing() {
	local error="$1"; shift
	local before

	load_mod $TARGET
	load_lp $P1 functions=cmdline,version,busy
	load_lp $STACK2
	before=$(everything)
	insmod_fails $P2 "$error" replace=1 version=3 "$@"
	expect_same "after the attempt" "$before" "$(everything)"
	# Nobody got stuck half way: an orderly replacement still works.
	load_lp $P2 replace=1 version=3 functions=version2
	expect_alone $P2
	expect_versions 0 3
	unload_lp $STACK2
	finish $P2 $P1
}

function callbacks() {
	load_mod $TARGET
	load_lp $P1 functions=cmdline,version callbacks=1
	start_log
	load_lp $P2 functions=cmdline,version2 callbacks=1 replace=1
	expect_alone $P2
	expect_log "% insmod test_modules/$P2.ko functions=cmdline,version2 callbacks=1 replace=1
$(with_callbacks "$(says_enabling $P2)" pre_patch $P2 vmlinux $TARGET)
$(with_callbacks "$(says_enabled $P2)" post_patch $P2 vmlinux $TARGET)"

	# Only nops in the target module, so no callbacks.
	start_log
	load_lp $P3 functions=cmdline callbacks=1 replace=1
	expect_alone $P3
	disable_lp $P3
	expect_log "% insmod test_modules/$P3.ko functions=cmdline callbacks=1 replace=1
$(with_callbacks "$(says_enabling $P3)" pre_patch $P3 vmlinux)
$(with_callbacks "$(says_enabled $P3)" post_patch $P3 vmlinux)
% echo 0 > $SYSFS_KLP_DIR/$P3/enabled
$(with_callbacks "$(says_disabling $P3)" pre_unpatch $P3 vmlinux)
$(with_callbacks "$(says_disabled $P3)" post_unpatch $P3 vmlinux)"
	unload_lp $P3
	unload_lp $P2
	unload_lp $P1
	unload_mod $TARGET
}

function callbacks_reversed() {
	load_mod $TARGET
	load_lp $P1 functions=cmdline,busy callbacks=1
	start_sleeper
	start_log
	load_lp_nowait $P2 functions=version callbacks=1 replace=1
	only_waits_for $SLEEPER 0
	write "$SYSFS_KLP_DIR/$P2/enabled" 0
	expect_gone $P2
	expect_log "% insmod test_modules/$P2.ko functions=version callbacks=1 replace=1
$(with_callbacks "$(says_enabling $P2)" pre_patch $P2 $TARGET)
% echo 0 > $SYSFS_KLP_DIR/$P2/enabled
$(says_reversing_to_unpatching $P2)
$(with_callbacks "$(says_disabled $P2)" post_unpatch $P2 $TARGET)"
	release_sleepers
	start_log
	disable_lp $P1
	expect_log "% echo 0 > $SYSFS_KLP_DIR/$P1/enabled
$(with_callbacks "$(says_disabling $P1)" pre_unpatch $P1 vmlinux $TARGET)
$(with_callbacks "$(says_disabled $P1)" post_unpatch $P1 vmlinux $TARGET)"
	unload_lp $P1
	unload_lp $P2
	unload_mod $TARGET
}

# As long as the transition runs, a module that goes or comes is the old
# livepatch's business, too.
function callbacks_module() {
	load_mod $TARGET
	load_mod $OTHER
	load_lp $P1 functions=busy,show callbacks=1
	start_sleeper
	load_lp_nowait $P2 functions=version,show version=2 callbacks=1 replace=1
	only_waits_for $SLEEPER 0
	start_log
	unload_mod $OTHER
	load_mod $OTHER
	expect_other "$P2: version 2"
	release_sleepers
	end_transition $P2
	expect_alone $P2
	unload_mod $OTHER
	expect_log "% rmmod $OTHER
$OTHER: test_klp_mod_target_exit
$P1: pre_unpatch: $OTHER
livepatch: reverting patch '$P1' on unloading module '$OTHER'
$P1: post_unpatch: $OTHER
livepatch: reverting patch '$P2' on unloading module '$OTHER'
$P2: post_unpatch: $OTHER
% insmod test_modules/$OTHER.ko
livepatch: applying patch '$P1' to loading module '$OTHER'
$P1: pre_patch: $OTHER
$P1: post_patch: $OTHER
livepatch: applying patch '$P2' to loading module '$OTHER'
$P2: pre_patch: $OTHER
$OTHER: test_klp_mod_target_init
% release the sleepers
$(with_callbacks "$(says_enabled $P2)" post_patch $P2 $TARGET $OTHER)
% rmmod $OTHER
$OTHER: test_klp_mod_target_exit
$P2: pre_unpatch: $OTHER
livepatch: reverting patch '$P2' on unloading module '$OTHER'
$P2: post_unpatch: $OTHER"
	finish $P2 $P1
}

# incompatible(patch, parameters)
function incompatible() {
	local before

	before=$(everything)
	start_log
	insmod_fails "$1" "$EINVAL" functions=version version=9 callbacks=1 "${@:2}"
	expect_log "% insmod test_modules/$1.ko functions=version version=9 callbacks=1 ${*:2}
livepatch: Livepatch patch ($1) is not compatible with the already installed livepatches."
	expect_same "after the attempt" "$before" "$(everything)"
}

# compatible(patch, version of the state before, parameters)
function compatible() {
	local patch="$1" before="$2"; shift 2

	start_log
	load_lp $patch functions=version version=5 callbacks=1 "$@"
	expect "state" "$patch: ${1/=/ }, before $before" \
		"$(logged | grep "^$patch: state ")"
	expect_versions 5 0
}

function states() {
	load_mod $TARGET
	compatible $P1 0 state=2
	incompatible $P2 state=1 replace=1
	incompatible $P2 replace=1
	incompatible $P2 state=1
	compatible $P2 2 state=3 replace=1
	expect_alone $P2
	unload_lp $P1

	# Now the state is that of the second one.
	incompatible $P1 state=2 replace=1
	incompatible $P1 state=2
	incompatible $P1 replace=1
	compatible $P3 3 state=3 replace=1
	expect_alone $P3
	finish $P3 $P2
}

# Only who replaces the others has to know about their states.
function states_of_several() {
	load_mod $TARGET
	compatible $P1 0 state=2
	load_lp $P2 functions=version2 version=4
	expect_versions 5 4
	incompatible $P3 replace=1
	incompatible $P3 state=1
	compatible $P3 2 state=3 replace=1
	expect_alone $P3
	unload_lp $P2
	unload_lp $P1
	disable_lp $P3

	# With the livepatches their states are gone.
	compatible $P1 0 state=1
	unload_lp $P3
	finish $P1
}

# expect_count(number)
function expect_count() {
	expect "count" "$1" "$(target version2)"
}

# The second livepatch goes on with what the first one has attached.
function shadow() {
	load_mod $TARGET
	load_lp $P1 functions=count version=1 callbacks=1 free_shadow=1
	expect_count 101
	expect_count 102
	start_log
	load_lp $P2 functions=count version=2 replace=1
	expect_alone $P2
	expect_count 103
	unload_lp $P1
	# This one knows nothing of it, and leaves it alone.
	load_lp $P3 functions=version version=3 replace=1
	expect_alone $P3
	expect_versions 3 0
	unload_lp $P2
	load_lp $P1 functions=count version=1 callbacks=1 free_shadow=1 replace=1
	expect_alone $P1
	expect_count 104
	unload_lp $P3
	logged | grep freed && fail "freed too early"
	disable_lp $P1
	expect_count 0
	expect "freed" "$P1: shadow variable freed at 104" "$(logged | grep freed)"
	unload_lp $P1

	start_log
	load_lp $P2 functions=count version=2 callbacks=1 free_shadow=1
	expect_count 201
	disable_lp $P2
	expect "freed" "$P2: shadow variable freed at 201" "$(logged | grep freed)"
	unload_lp $P2
	unload_mod $TARGET
}

function back_and_forth() {
	local round

	load_mod $TARGET
	load_lp $P1 functions=cmdline,version2
	for ((round = 0; round < ROUNDS; round++)); do
		load_lp $P2 functions=version version=2 replace=1
		expect_versions 2 0
		expect /proc/cmdline "$CMDLINE" "$(cat /proc/cmdline)"
		expect_soon "rmmod" 'rmmod $P1 2> /dev/null'
		expect_alone $P2
		load_lp $P1 functions=cmdline,version2 replace=1
		expect_versions 0 1
		expect /proc/cmdline "$P1: version 1" "$(cat /proc/cmdline)"
		expect_soon "rmmod" 'rmmod $P2 2> /dev/null'
		expect_alone $P1
	done
	finish $P1
}

core_setup 20
core_case "functions go back to the original, by nops" nops
core_case "the modules of the nops come later" late_after
core_case "a module comes, goes and comes during the transition, then is original" \
	late_during version "$OTHER: original output"
core_case "a module comes, goes and comes during the transition, then is patched" \
	late_during version,show "$P2: version 2"
core_case "a module goes during the transition and comes later" gone_during
core_case "three livepatches are replaced at once" several
core_case "replaced by nothing" empty
core_case "positions 0, 1 and 2" positions
core_case "reversed, and twice reversed" reversed
core_case "nobody else meanwhile" busy
core_case "a replacement whose callback fails" \
	failing "$ENODEV" functions=cmdline,version2 callbacks=1 pre_patch_fails=$TARGET
core_case "a replacement that cannot be attached" \
	failing "$EINVAL" functions=cmdline,version2,notrace
core_case "a replacement for an unknown function" \
	failing "$EINVAL" functions=cmdline,version2,unknown
core_case "only the new livepatch's callbacks run" callbacks
core_case "callbacks when it is reversed" callbacks_reversed
core_case "callbacks for a module that goes and comes" callbacks_module
core_case "states: newer, the same, older, missing" states
core_case "states: of several livepatches, and of none" states_of_several
core_case "a shadow variable is handed on" shadow
core_case "$ROUNDS times back and forth" back_and_forth
core_finish
