#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Livepatches and others that are attached to the same functions. Those that
# only look can come and go in any order: they see each call, and the livepatch
# decides who answers. Of those that may redirect the function there is one.
#
# For direct callers see test-core-direct.sh.

. $(dirname $0)/functions.sh
. $(dirname $0)/core-functions.sh

TRACER=test_klp_core_tracer
PATCH=test_klp_core_stack1
BUSY=test_klp_core_busy
KPROBE_EVENTS="$SYSFS_TRACING_DIR/kprobe_events"
EVENTS="$SYSFS_TRACING_DIR/events/core_probe"
ROUNDS=3

# tracer_on(kind, functions) - let it watch the functions. Sets TRACED.
function tracer_on() {
	local kind="$1"; shift
	local function letter=p symbol

	TRACED=("$@")
	log "% $kind on ${TRACED[*]}"
	case "$kind" in
	function|function_graph)
		echo > "$SYSFS_TRACING_DIR/trace"
		printf '%s\n' "${TRACED[@]}" > "$SYSFS_TRACING_DIR/set_ftrace_filter" ||
			fail "no filter"
		echo "$kind" > "$SYSFS_TRACING_DIR/current_tracer" || fail "no $kind"
		echo 1 > "$SYSFS_TRACING_DIR/tracing_on"
		;;
	*_event)
		[[ $kind == kretprobe_event ]] && letter=r
		echo > "$SYSFS_TRACING_DIR/trace"
		for function in "${TRACED[@]}"; do
			symbol=$function
			[[ $function == core_target_* ]] && symbol=$TARGET:$function
			echo "$letter:core_probe/$function $symbol" >> "$KPROBE_EVENTS" ||
				fail "no $kind on $function"
		done
		echo 1 > "$EVENTS/enable" || fail "$kind does not start"
		echo 1 > "$SYSFS_TRACING_DIR/tracing_on"
		;;
	*)
		load_mod $TRACER kind="$kind" functions="$(IFS=,; echo "${TRACED[*]}")"
		;;
	esac
}

# tracer_off(kind)
function tracer_off() {
	log "% $1 off"
	case "$1" in
	function|function_graph)
		echo nop > "$SYSFS_TRACING_DIR/current_tracer"
		echo > "$SYSFS_TRACING_DIR/set_ftrace_filter"
		;;
	*_event)
		echo 0 > "$EVENTS/enable"
		echo > "$KPROBE_EVENTS"
		;;
	*)
		unload_mod $TRACER
		;;
	esac
}

# clean_tracers() - at the end of a case, whatever has become of it
function clean_tracers() {
	echo nop > "$SYSFS_TRACING_DIR/current_tracer"
	echo > "$SYSFS_TRACING_DIR/set_ftrace_filter"
	[[ -e "$EVENTS/enable" ]] && echo 0 > "$EVENTS/enable"
	[[ -e "$KPROBE_EVENTS" ]] && echo > "$KPROBE_EVENTS"
	echo > "$SYSFS_TRACING_DIR/trace"
}

# counted(number) - how many calls of this one of TRACED has the tracer seen?
function counted() {
	if [[ -e "/sys/module/$TRACER" ]]; then
		cut -d , -f $(($1 + 1)) "/sys/module/$TRACER/parameters/calls"
	else
		grep -Ec "[^-]\<${TRACED[$1]}\>" "$SYSFS_TRACING_DIR/trace"
	fi
}

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

	# The core can read such a stack: who sleeps elsewhere is switched.
	load_lp $PATCH
	expect_answers patched
	disable_lp $PATCH
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

# passes(kind) - how many there were: 2 by old code, 3 by new, 4 mixed
function passes() {
	target stats | cut -d ' ' -f "$1"
}

# more_passes(number) - wait until there are so many more by new code
function more_passes() {
	local wanted=$(($(passes 3) + $1))

	expect_soon "passes" '[[ $(passes 3) -ge '$wanted' ]]'
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
	more_passes 30
	for ((round = 0; round < ROUNDS; round++)); do
		for kind in ops kprobe function; do
			tracer_on $kind "${functions[@]}"
			more_passes 10
			tracer_off $kind
			more_passes 10
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

KINDS=(ops function)
RETURNS=(kretprobe)
if grep -qw function_graph "$SYSFS_TRACING_DIR/available_tracers"; then
	KINDS+=(function_graph)
	RETURNS+=(function_graph)
fi
if [[ -e "$KPROBE_EVENTS" ]]; then
	KINDS+=(kprobe_event kretprobe_event)
else
	KINDS+=(kprobe kretprobe)
fi

core_setup $((${#KINDS[@]} + ${#RETURNS[@]} + 7))
for kind in "${KINDS[@]}"; do
	core_case "$kind, attached and detached in any order" beside "$kind"
done
for kind in "${RETURNS[@]}"; do
	core_case "$kind on the stack of a task that is waited for" return_address "$kind"
done
for kind in ipmodify kprobe_post; do
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
