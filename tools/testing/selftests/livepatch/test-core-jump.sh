#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Calls of a function that all tasks run in the same version may jump to the
# replacement instead of asking the livepatch core. Nobody may notice, except
# in enabled_functions: whoever attaches to the function sees each call, and in
# a transition each task runs its own version.
#
# A core that does not do this has to pass all the same; then it is only the
# answers that count.

. $(dirname $0)/functions.sh
. $(dirname $0)/core-functions.sh
. $(dirname $0)/core-tracer-functions.sh

PATCH=test_klp_core_stack1
BUSY=test_klp_core_busy
SWITCH=/sys/module/livepatch/parameters/jump
PAIR=(core_target_pair core_target_pair_a core_target_pair_b)
ROUNDS=4

CAN_JUMP=
[[ -e "$SWITCH" ]] && grep -q ' T ftrace_can_jump$' /proc/kallsyms && CAN_JUMP=1

# can_jump() - does anything jump here at all?
function can_jump() {
	[[ $CAN_JUMP ]]
}

# can_reach(function, replacement) - does the instruction go that far?
function can_reach() {
	local from to distance

	case $(uname -m) in
	aarch64|loongarch64)
		from=$(awk -v name="$1" '$3 == name { print $1 }' /proc/kallsyms)
		to=$(awk -v name="$2" '$3 == name { print $1 }' /proc/kallsyms)
		distance=$((0x$to - 0x$from))
		# Not to the byte: nothing is that close to the end.
		((distance > -(127 << 20) && distance < (127 << 20)))
		;;
	esac
}

# jump_of(function) - print where its calls jump to
function jump_of() {
	awk -v name="$1" '
		/^\tjmp-->/ && current == name { split($0, part, /-->|\+/); print part[2] }
		/^[^\t]/ { current = $1 }' "$SYSFS_TRACING_DIR/enabled_functions"
}

# expect_jump(function, replacement) - sooner or later: nobody waits for it
function expect_jump() {
	can_jump || return 0
	if [[ "$2" ]] && ! can_reach "$1" "$2"; then
		expect_no_jump "$1"
		return
	fi
	expect_soon "jump from $1 to '$2'" '[[ $(jump_of '"$1) == \"$2\" ]]"
}

# expect_no_jump(function) - already
function expect_no_jump() {
	expect "jump from $1" "" "$(jump_of "$1")"
}

function expect_jumps() {
	expect_jump cmdline_proc_show stack_cmdline_proc_show
	expect_jump core_target_version stack_core_target_version
}

# expect_patched() - the answers of $PATCH
function expect_patched() {
	expect_versions 1 10
	expect /proc/cmdline "$PATCH: version 1" "$(cat /proc/cmdline)"
}

function comes_and_goes() {
	load_mod $TARGET
	expect_no_jump core_target_version
	load_lp $PATCH
	expect_jumps
	expect_patched
	disable_lp $PATCH
	unload_lp $PATCH
	expect_versions 0 0
	expect_no_jump core_target_version
	unload_mod $TARGET
}

# The module is there for its patch before any of its code runs.
function module_comes_and_goes() {
	load_lp $PATCH
	expect_jump cmdline_proc_show stack_cmdline_proc_show
	load_mod $TARGET
	expect_jumps
	expect_patched
	unload_mod $TARGET
	expect_jump cmdline_proc_show stack_cmdline_proc_show
	load_mod $TARGET
	expect_jumps
	expect_patched
	disable_lp $PATCH
	unload_lp $PATCH
	unload_mod $TARGET
}

function in_transition() {
	load_mod $TARGET
	load_lp $PATCH
	expect_jumps
	start_sleeper
	load_lp_nowait $BUSY
	only_waits_for $SLEEPER 0
	expect_no_jump core_target_busy
	# Both livepatches have this one; the other is not in transition.
	expect_no_jump core_target_version
	expect_jump cmdline_proc_show stack_cmdline_proc_show
	release_sleepers
	end_transition $BUSY
	expect_jump core_target_busy busy_core_target_busy
	expect_jump core_target_version busy_core_target_version

	start_sleeper
	write "$SYSFS_KLP_DIR/$BUSY/enabled" 0
	only_waits_for $SLEEPER 1
	expect_no_jump core_target_busy
	write "$SYSFS_KLP_DIR/$BUSY/enabled" 1
	end_transition $BUSY
	expect_jump core_target_busy busy_core_target_busy
	release_sleepers
	disable_lp $BUSY
	unload_lp $BUSY
	expect_no_jump core_target_busy
	expect_jumps
	disable_lp $PATCH
	unload_lp $PATCH
	unload_mod $TARGET
}

# expect_guest(kind) - it is at the function. A breakpoint comes before the jump
# and does not keep the function from it.
function expect_guest() {
	if [[ $1 == k*probe ]] && ! kprobes_use_ftrace; then
		expect_jumps
	else
		expect_no_jump core_target_version
	fi
}

# guest(kind) - someone who has to see the calls
function guest() {
	local i before functions=(core_target_version cmdline_proc_show)

	[[ $1 == direct* ]] && functions=(core_target_version)
	trap clean_tracers EXIT
	load_mod $TARGET
	load_lp $PATCH
	expect_jumps
	tracer_on "$1" "${functions[@]}"
	expect_guest "$1"
	before=$(counted 0)
	expect_patched
	if [[ $1 != direct ]] || direct_sees_patched; then
		[[ $(counted 0) -gt $before ]] || fail "a call was not seen"
	fi
	tracer_off "$1"
	expect_jumps
	expect_patched

	# It stays while the livepatch goes and comes.
	tracer_on "$1" "${functions[@]}"
	disable_lp $PATCH
	unload_lp $PATCH
	expect_versions 0 0
	load_lp $PATCH
	expect_patched
	expect_guest "$1"
	tracer_off "$1"
	expect_jumps
	disable_lp $PATCH
	unload_lp $PATCH
	unload_mod $TARGET
}

function switched_off() {
	can_jump || return 0
	trap 'echo Y > $SWITCH' EXIT
	load_mod $TARGET
	load_lp $PATCH
	expect_jumps
	write $SWITCH 0
	expect "the switch" N "$(cat $SWITCH)"
	expect_jump cmdline_proc_show ""
	expect_jump core_target_version ""
	expect_patched
	disable_lp $PATCH
	unload_lp $PATCH
	load_lp $PATCH
	expect_patched
	expect_no_jump core_target_version
	expect_write_error $SWITCH maybe "Invalid argument"
	write $SWITCH 1
	expect_jumps
	expect_patched
	disable_lp $PATCH
	unload_lp $PATCH
	unload_mod $TARGET
}

# come_and_go(command, command) - call both by turns, until the file is there
function come_and_go() {
	until [[ -e "$CORE_TMP/stop" ]]; do
		eval "$1"
		eval "$2"
	done > "$CORE_TMP/guests" 2>&1
}

# Each version counts the passes that it has had. While the livepatch is
# applied there is none by old code, and after it has gone none by new.
function under_load() {
	local round before

	trap 'clean_tracers; [[ -e $SWITCH ]] && echo Y > $SWITCH' EXIT
	load_mod $TARGET
	write "$TARGET_DIR/hammer" 6
	come_and_go "$@" &
	for ((round = 0; round < ROUNDS; round++)); do
		more_passes 2
		load_lp $BUSY
		more_passes 3
		before=$(passes 2)
		more_passes 3
		more_passes 3
		expect "passes by old code" "$before" "$(passes 2)"
		disable_lp $BUSY
		unload_lp $BUSY
		more_passes 2
		before=$(passes 3)
		more_passes 2
		expect "passes by new code" "$before" "$(passes 3)"
		expect "mixed passes" 0 "$(passes 4)"
	done
	touch "$CORE_TMP/stop"
	expect_all_end
	target stats
	write "$TARGET_DIR/hammer" 0
	unload_mod $TARGET
}

GUESTS=(kprobe kretprobe
	$(available ops function function_graph fprobe fprobe_exit direct fentry fexit))
LOADS=(ops $(available function))

core_setup $((${#GUESTS[@]} + ${#LOADS[@]} + 5))
core_case "a livepatch comes and goes" comes_and_goes
core_case "a patched module comes and goes" module_comes_and_goes
core_case "a transition, and one that is reversed" in_transition
core_case "the administrator does not want it" switched_off
for kind in "${GUESTS[@]}"; do
	core_case "$kind comes and goes" guest $kind
done
for kind in "${LOADS[@]}"; do
	core_case "$kind comes and goes with livepatches, under load" \
		under_load "tracer_on $kind ${PAIR[*]}" "tracer_off $kind"
done
if can_jump; then
	core_case "it is switched on and off with livepatches, under load" \
		under_load 'echo 0 > $SWITCH' 'echo 1 > $SWITCH'
else
	core_case "livepatches come and go, under load" under_load : "sleep 1"
fi
core_finish
