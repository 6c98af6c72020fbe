#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Stacks that are hard to judge: deeper than 100 entries, with the patched
# function anywhere on them, many times, or with return addresses which a
# kretprobe has exchanged. A task is switched if and only if it is not in the
# function, or it waits.

. $(dirname $0)/functions.sh
. $(dirname $0)/core-functions.sh

CALLER=test_klp_core_caller
DEEP=test_klp_core_deep
BUSY=test_klp_core_busy
ENABLED="$SYSFS_KLP_DIR/$DEEP/enabled"
# More entries of a stack than the C core looks at: 100.
MANY=120
KPROBE_EVENTS="$SYSFS_TRACING_DIR/kprobe_events"

# start_deep(below, levels, above) - a task falls asleep "above" frames above
# "levels" frames of core_target_deep() above "below" frames. Sets SLEEPER.
function start_deep() {
	local number=$(($(target sleepers) + 1))

	echo "$1" > "$TARGET_DIR/below"
	echo "$2" > "$TARGET_DIR/levels"
	echo "$3" > "$TARGET_DIR/above"
	cat "$TARGET_DIR/deep" > "$CORE_TMP/deep.$number" &
	SLEEPER=$!
	remember $SLEEPER
	expect_soon "sleeper $number" '[[ $(target sleepers) -eq '$number' ]]'
}

# expect_answers(number, answer) - for this sleeper, from all levels
function expect_answers() {
	expect "sleeper $1" "$2" "$(cat "$CORE_TMP/deep.$1")"
}

# only_wait_for(state, tasks) - all other tasks have been switched
function only_wait_for() {
	WANTED=$(echo $(printf "%s\n" "${@:2}" | sort -n))
	expect_soon "all but $WANTED switched" \
		'[[ $(echo $(tasks_in_state '$1' | tr " " "\n" | sort -n)) == "$WANTED" ]]'
}

# in_function(below, levels, above) - holds up both transitions
function in_function() {
	load_mod $TARGET
	start_deep "$@"
	load_lp_nowait $DEEP
	only_waits_for $SLEEPER 0
	expect_versions 1 0
	expect_blocked $DEEP 1
	release_sleepers
	end_transition $DEEP
	expect_end $SLEEPER
	# On its way back it was still in the old world.
	expect_answers 1 "0 0"

	start_deep "$@"
	write "$ENABLED" 0
	only_waits_for $SLEEPER 1
	expect_versions 0 0
	expect_blocked $DEEP 0
	release_sleepers
	expect_gone $DEEP
	expect_end $SLEEPER
	expect_answers 1 "$2 $2"
	unload_lp $DEEP
	unload_mod $TARGET
}

# Wherever on the stack the function is, it is found: many tasks, all of them
# wait. Some have it near the 100th entry.
function all_depths() {
	local above sleepers=()

	load_mod $TARGET
	for above in 0 1 45 90 91 92 93 94 95 96 97 98 99 100 101; do
		start_deep 0 1 $above
		sleepers+=($SLEEPER)
	done
	load_lp_nowait $DEEP
	only_wait_for 0 "${sleepers[@]}"
	expect_blocked $DEEP 1
	release_sleepers
	end_transition $DEEP
	expect_all_end
	expect "answers" "0 0" "$(cat "$CORE_TMP"/deep.* | sort -u)"
	disable_lp $DEEP
	unload_lp $DEEP
	unload_mod $TARGET
}

# A stack that is too deep holds up the transition, though nothing of the patch
# is on it. That is safe.
function not_in_function() {
	load_mod $TARGET
	start_deep $MANY 0 0
	load_lp_nowait $DEEP
	only_waits_for $SLEEPER 0
	release_sleepers
	end_transition $DEEP
	expect_end $SLEEPER
	start_deep $MANY 0 0
	expect_versions 1 0

	write "$ENABLED" 0
	only_waits_for $SLEEPER 1
	release_sleepers
	expect_gone $DEEP
	expect_versions 0 0
	unload_lp $DEEP
	unload_mod $TARGET
}

# The Rust core sees the end of any stack.
function not_in_function_rust() {
	load_mod $TARGET
	start_deep $MANY 0 0
	load_lp_nowait $DEEP
	end_transition $DEEP
	expect "sleepers" 1 "$(target sleepers)"
	expect_versions 1 0

	write "$ENABLED" 0
	expect_gone $DEEP
	expect "sleepers" 1 "$(target sleepers)"
	release_sleepers
	expect_versions 0 0
	unload_lp $DEEP
	unload_mod $TARGET
}

# A stack of which each core can see the end, without the function.
function not_in_function_shallow() {
	load_mod $TARGET
	start_deep 40 0 0
	load_lp $DEEP
	expect_versions 1 0
	disable_lp $DEEP
	expect_versions 0 0
	expect "sleepers" 1 "$(target sleepers)"
	release_sleepers
	unload_lp $DEEP
	unload_mod $TARGET
}

# One task in the old function and one in the new one, both deep down.
function reversed() {
	local old new

	load_mod $TARGET
	start_deep 0 10 $MANY
	old=$SLEEPER
	load_lp_nowait $DEEP
	expect_soon "this shell switched" '[[ $(cat /proc/$BASHPID/patch_state) == 1 ]]'
	start_deep 0 10 $MANY
	new=$SLEEPER
	only_waits_for $old 0
	write "$ENABLED" 0
	only_waits_for $new 1
	expect_blocked $DEEP 0
	write "$ENABLED" 1
	only_waits_for $old 0
	expect_blocked $DEEP 1
	release_sleepers
	end_transition $DEEP
	expect_all_end
	expect_answers 1 "0 0"
	expect_answers 2 "10 10"
	disable_lp $DEEP
	unload_lp $DEEP
	unload_mod $TARGET
}

# A task sleeps in a replacement when the function that has called it is patched:
# it will return into the old version. Not on all architectures is that one's
# address on the stack then (powerpc: on the livepatch stack).
function caller_of_replacement() {
	load_mod $TARGET
	load_lp $BUSY
	start_sleeper
	load_lp_nowait $CALLER
	only_waits_for $SLEEPER 0
	expect_blocked $CALLER 1
	release_sleepers
	end_transition $CALLER
	expect_end $SLEEPER
	expect "answer of the old caller" 1 "$(cat "$CORE_TMP/busy.1")"
	expect "answer of the new caller" caller "$(target busy)"
	disable_lp $CALLER
	unload_lp $CALLER
	disable_lp $BUSY
	unload_lp $BUSY
	unload_mod $TARGET
}

# The only trace of core_target_busy() on the stack is the return address of
# the function that sleeps. While a kretprobe waits for that one to return, it
# is not there.
function kretprobe() {
	local event="$SYSFS_TRACING_DIR/events/kprobes/core_sleep"

	load_mod $TARGET
	trap 'echo 0 > "$event/enable"; echo "-:kprobes/core_sleep" > "$KPROBE_EVENTS"' EXIT
	echo "r:kprobes/core_sleep $TARGET:sleep_until_release" >> "$KPROBE_EVENTS" ||
		fail "no kretprobe"
	echo 1 > "$event/enable" || fail "kretprobe not enabled"
	start_sleeper
	load_lp_nowait $BUSY
	only_waits_for $SLEEPER 0
	expect_blocked $BUSY 1
	expect_versions 1 0
	release_sleepers
	end_transition $BUSY
	expect_end $SLEEPER
	expect "answer of the old function" 0 "$(cat "$CORE_TMP/busy.1")"

	start_sleeper
	write "$SYSFS_KLP_DIR/$BUSY/enabled" 0
	only_waits_for $SLEEPER 1
	expect_blocked $BUSY 0
	release_sleepers
	expect_gone $BUSY
	expect_end $SLEEPER
	expect "answer of the new function" 1 "$(cat "$CORE_TMP/busy.1")"
	expect "hits of the kretprobe" 2 \
		"$(awk '$1 == "core_sleep" { print $2 }' "$SYSFS_TRACING_DIR/kprobe_profile")"
	trap - EXIT
	echo 0 > "$event/enable"
	echo "-:kprobes/core_sleep" >> "$KPROBE_EVENTS" || fail "kretprobe not removed"
	unload_lp $BUSY
	unload_mod $TARGET
}

NOT_IN_FUNCTION=not_in_function
if core_is_rust; then
	NOT_IN_FUNCTION=not_in_function_rust
fi

# A kernel may have been made without them.
if [[ -e "$KPROBE_EVENTS" ]]; then
	core_setup 11
else
	core_setup 10
fi

core_case "the function at the end of a deep stack" in_function 0 1 $MANY
core_case "the function at the top of a deep stack" in_function $MANY 1 0
core_case "the function in the middle" in_function 70 1 70
core_case "the function calls itself" in_function 0 20 0
core_case "the function calls itself $MANY times" in_function 0 $MANY 0
core_case "the function at many depths" all_depths
core_case "a deep stack without the function" $NOT_IN_FUNCTION
core_case "a stack of 40 frames without the function" not_in_function_shallow
core_case "in the old and in the new function, and reversed" reversed
core_case "the caller of a replacement" caller_of_replacement
[[ ! -e "$KPROBE_EVENTS" ]] ||
	core_case "a kretprobe where the function would be seen" kretprobe
core_finish
