#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Livepatches and others that are attached to the same functions. Those that
# only look can come and go in any order: they see each call, and the livepatch
# decides who answers. Of those that may redirect the function there is one.
#
# For direct callers see test-core-direct.sh, and for who answers when others
# decide what a function returns, test-core-consumers.sh.

. $(dirname $0)/functions.sh
. $(dirname $0)/core-functions.sh
. $(dirname $0)/core-tracer-functions.sh

PATCH=test_klp_core_stack1
BUSY=test_klp_core_busy
ROUNDS=3

# expect_answers(patched) - of the original functions, or of $PATCH
function expect_answers() {
	if [[ $1 == patched ]]; then
		expect_versions 1 10
		expect /proc/cmdline "$PATCH: version 1" "$(cat /proc/cmdline)"
	else
		expect_versions 0 0
		expect /proc/cmdline "$CMDLINE" "$(cat /proc/cmdline)"
	fi
}

# expect_traced(patched) - the answers, and that the tracer has seen the calls
function expect_traced() {
	local i before=()

	for i in "${!TRACED[@]}"; do
		before+=("$(counted $i)")
	done
	expect_answers "$1"
	for i in "${!TRACED[@]}"; do
		[[ $(counted $i) -gt ${before[i]} ]] ||
			fail "$1: a call of ${TRACED[i]} was not seen"
	done
}

function beside() {
	local functions=(core_target_version cmdline_proc_show)

	trap clean_tracers EXIT
	load_mod $TARGET
	expect_answers original
	tracer_on "$1" "${functions[@]}"
	expect_traced original
	# The tracer was first, and goes first.
	load_lp $PATCH
	expect_traced patched
	tracer_off "$1"
	expect_answers patched
	# Now the livepatch was first: the tracer goes first, then the livepatch.
	tracer_on "$1" "${functions[@]}"
	expect_traced patched
	tracer_off "$1"
	expect_answers patched
	tracer_on "$1" "${functions[@]}"
	expect_traced patched
	disable_lp $PATCH
	expect_traced original
	unload_lp $PATCH
	expect_traced original
	# And the tracer was first, and goes last.
	load_lp $PATCH
	expect_traced patched
	disable_lp $PATCH
	unload_lp $PATCH
	expect_traced original
	tracer_off "$1"
	expect_answers original
	unload_mod $TARGET
}

# A tracer of returns puts an address of its own on the stack of the task.
function return_address() {
	trap clean_tracers EXIT
	load_mod $TARGET
	tracer_on "$1" core_target_busy
	start_sleeper

	if unwinds_returns "$1"; then
		# The core can read such a stack: who sleeps elsewhere is switched.
		load_lp $PATCH
		expect_answers patched
		disable_lp $PATCH
	else
		load_lp_nowait $PATCH
		only_waits_for $SLEEPER 0
		expect_blocked $PATCH 1
		write "$SYSFS_KLP_DIR/$PATCH/enabled" 0
		expect_gone $PATCH
	fi
	unload_lp $PATCH

	load_lp_nowait $BUSY
	expect_soon "all but the sleeper switched" \
		'[[ "$(tasks_in_state 0)" == $SLEEPER ]]'
	expect_blocked $BUSY 1
	release_sleepers
	end_transition $BUSY
	expect_end $SLEEPER
	expect "answer of the old function" 0 "$(cat "$CORE_TMP/busy.1")"
	[[ $(counted 0) -gt 0 ]] || fail "nothing was traced"

	start_sleeper
	write "$SYSFS_KLP_DIR/$BUSY/enabled" 0
	expect_soon "all but the sleeper switched" \
		'[[ "$(tasks_in_state 1)" == $SLEEPER ]]'
	expect_blocked $BUSY 0
	release_sleepers
	expect_gone $BUSY
	expect_end $SLEEPER
	expect "answer of the new function" 1 "$(cat "$CORE_TMP/busy.1")"
	unload_lp $BUSY
	tracer_off "$1"
	unload_mod $TARGET
}

# attached() - the functions which any livepatch here has to do with
function attached() {
	echo $(grep -Eo "$CORE_PATCHED" "$SYSFS_TRACING_DIR/enabled_functions" | sort -u)
}

# refused(function, object) - $PATCH cannot be enabled on account of this one
function refused() {
	start_log
	insmod_fails $PATCH "Device or resource busy"
	expect_log "% insmod test_modules/$PATCH.ko
livepatch: enabling patch '$PATCH'
livepatch: '$PATCH': initializing patching transition
livepatch: failed to register ftrace handler for function '$1' (-16)
livepatch: failed to patch object '$2'
livepatch: failed to enable patch '$PATCH'
livepatch: '$PATCH': canceling patching transition, going to unpatch
$(says_disabled $PATCH)"
	expect "patches" "" "$(ls "$SYSFS_KLP_DIR")"
	expect "attached functions" "$1" "$(attached)"
}

# not_attached(kind, function) - the other one cannot be attached. Of a kprobe
# 7.3 says that it is registered, but it is not.
function not_attached() {
	local found

	log "% insmod test_modules/$TRACER.ko kind=$1 functions=$2"
	if found=$(insmod test_modules/$TRACER.ko kind="$1" functions="$2" 2>&1); then
		[[ $1 == kprobe_post ]] || fail "$1 is attached to $2"
		grep -w "$2" "$SYSFS_KPROBES_DIR/list" && fail "the kprobe is in the list"
		expect_answers patched
		expect "calls seen" 0 "$(cut -d , -f 1 "/sys/module/$TRACER/parameters/calls")"
		unload_mod $TRACER
	elif [[ "$found" != *": Device or resource busy" ]]; then
		fail "insmod $TRACER: $found"
	fi
	[[ ! -e /sys/module/$TRACER ]] || fail "$TRACER is there"
}

# one_of_two(kind, function, object)
function one_of_two() {
	load_mod $TARGET
	# The other one comes first.
	tracer_on "$1" "$2"
	expect_traced original
	refused "$2" "$3"
	expect_traced original
	tracer_off "$1"
	# It has gone.
	load_lp $PATCH
	expect_answers patched
	# The livepatch comes first.
	not_attached "$1" "$2"
	expect_answers patched
	expect "attached functions" \
		"cmdline_proc_show core_target_version core_target_version2" "$(attached)"
	disable_lp $PATCH
	unload_lp $PATCH
	expect_answers original
	# It has gone.
	tracer_on "$1" "$2"
	expect_traced original
	tracer_off "$1"
	unload_mod $TARGET
}

# A foreign owner of one function does not matter to the others.
function other_function() {
	load_mod $TARGET
	tracer_on ipmodify core_target_busy
	load_lp $PATCH
	expect_answers patched
	start_log
	insmod_fails $BUSY "Device or resource busy"
	logged | grep -q "for function 'core_target_busy' (-16)$" ||
		fail "no message, or the wrong one"
	expect_answers patched
	tracer_off ipmodify
	load_lp $BUSY
	expect_versions 1 10
	disable_lp $BUSY
	unload_lp $BUSY
	disable_lp $PATCH
	unload_lp $PATCH
	unload_mod $TARGET
}

# ftrace changes its code at the functions each time; not one call may go to
# the original one meanwhile.
function come_and_go() {
	local round kind before functions=(core_target_pair core_target_pair_a core_target_pair_b)

	trap clean_tracers EXIT
	load_mod $TARGET
	load_lp $BUSY
	before=$(passes 2)
	write "$TARGET_DIR/hammer" 6
	more_passes 3
	for ((round = 0; round < ROUNDS; round++)); do
		for kind in "${GUESTS[@]}"; do
			tracer_on $kind "${functions[@]}"
			more_passes 3 10
			tracer_off $kind
			more_passes 3 10
		done
	done
	write "$TARGET_DIR/hammer" 0
	target stats
	expect "passes by old code" "$before" "$(passes 2)"
	expect "mixed passes" 0 "$(passes 4)"
	disable_lp $BUSY
	unload_lp $BUSY
	unload_mod $TARGET
}

KINDS=($(available ops function function_graph fprobe fprobe_exit fentry fexit))
RETURNS=(kretprobe $(available function_graph fprobe_exit fexit))
GUESTS=(ops kprobe function $(available fprobe fentry fexit))
if [[ -e "$KPROBE_EVENTS" ]]; then
	KINDS+=(kprobe_event kretprobe_event)
else
	KINDS+=(kprobe kretprobe)
fi

# A breakpoint is in nobody's way.
OWNERS=(ipmodify)
kprobes_use_ftrace && OWNERS+=(kprobe_post)

core_setup $((${#KINDS[@]} + ${#RETURNS[@]} + 2 * ${#OWNERS[@]} + 3))
for kind in "${KINDS[@]}"; do
	core_case "$kind, attached and detached in any order" beside "$kind"
done
for kind in "${RETURNS[@]}"; do
	core_case "$kind on the stack of a task that is waited for" return_address "$kind"
done
for kind in "${OWNERS[@]}"; do
	core_case "$kind or a livepatch on a function of the kernel" \
		one_of_two $kind cmdline_proc_show vmlinux
	core_case "$kind or a livepatch on the last function of a module" \
		one_of_two $kind core_target_version2 $TARGET
done
core_case "ipmodify or a livepatch on the first function of a module" \
	one_of_two ipmodify core_target_version $TARGET
core_case "ipmodify on a function that one livepatch of two has" other_function
core_case "tracers come and go, and no call misses the livepatch" come_and_go
core_finish
