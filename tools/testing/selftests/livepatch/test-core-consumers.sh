#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# One livepatch, and each of the others that ftrace has at functions, in both
# orders: is the later one admitted, who answers a call, who sees it, what does
# ftrace say about the function, and does either go on when the other one goes.
#
# The same table for readers is in Documentation/livepatch/rust-core.rst.

. $(dirname $0)/functions.sh
. $(dirname $0)/core-functions.sh
. $(dirname $0)/core-tracer-functions.sh

PATCH=test_klp_core_stack1
FUNCTION=core_target_version
ORIGINAL_ANSWER=0
PATCH_ANSWER=1

# kind		the other one
# alone		how often ftrace counts it, and I for IPMODIFY, D for DIRECT
# first		who answers if it came before the livepatch: livepatch, other, or
#		neither, because the later one is refused
# second	who answers if it came after that
# sees		what it sees while both are there: calls, the value that the
#		livepatch returns, or nothing; - if it is not one that looks
#
# Of those who write the address where the function goes on and do not say so,
# whoever was attached first is the last to write it: ftrace calls the later
# ones first.
CONSUMERS="
ops		1	livepatch	livepatch	calls
function	1	livepatch	livepatch	calls
function_graph	1	livepatch	livepatch	calls
kprobe		1	livepatch	livepatch	calls
kprobe_body	0	livepatch	livepatch	nothing
kretprobe	1	livepatch	livepatch	value
fprobe		1	livepatch	livepatch	calls
fprobe_exit	1	livepatch	livepatch	value
direct		1D	livepatch	livepatch	calls
fentry		1D	livepatch	livepatch	calls
fexit		1D	livepatch	livepatch	value
fmod_ret_pass	1D	livepatch	livepatch	calls
fmod_ret	1D	other		other		calls
kprobe_redirect	1	other		livepatch	-
override_return	1	other		livepatch	-
livepatch	1I	livepatch	other		-
kprobe_post	1I	refused		refused		-
fail_function	1I	refused		refused		-
ipmodify	1I	refused		refused		-
direct_alone	1D	refused		refused		-
"

# The same where kprobes are breakpoints: at the first instruction, which comes
# before what ftrace has made of a later one.
BREAKPOINTS="
kprobe		0	livepatch	livepatch	calls
kretprobe	0	livepatch	livepatch	value
kprobe_redirect	0	other		other		-
override_return	0	other		other		-
kprobe_post	0	livepatch	livepatch	calls
fail_function	0	other		other		-
"
if ! kprobes_use_ftrace; then
	CONSUMERS=$(awk 'NR == FNR { row[$1] = $0; next }
		{ print ($1 in row) ? row[$1] : $0 }' \
		<(echo "$BREAKPOINTS") <(echo "$CONSUMERS"))
fi

direct_sees_patched ||
	CONSUMERS=$(sed '/^direct\t/s/calls/nothing/' <<< "$CONSUMERS")

# other_answer(kind) - what a call returns when this one decides it, or when
# nobody does
function other_answer() {
	case "$1" in
	kprobe_redirect)
		echo 77
		;;
	fail_function)
		echo $FAIL_FUNCTION_ANSWER
		;;
	fmod_ret|override_return)
		echo $BPF_ANSWER
		;;
	livepatch)
		echo 2
		;;
	*)
		echo $ORIGINAL_ANSWER
		;;
	esac
}

# attached() - what ftrace says about the function: how many are attached, and
# who they are
function attached() {
	local line=$(sed -n "s/^$FUNCTION .*(\([0-9]*\))\(.\{11\}\).*/\1\2/p" \
		"$SYSFS_TRACING_DIR/enabled_functions")

	line=${line//[^0-9ID]/}
	echo "${line:-0}"
}

# with_livepatch(attached) - the same when the livepatch is there, too. Two
# livepatches share what is attached.
function with_livepatch() {
	[[ $1 == 1I ]] && { echo 1I; return; }
	echo "$((${1%D} + 1))I${1#[01]}"
}

# expect_call(what, answer, sees, attached) - one call, with its witnesses
function expect_call() {
	local before

	expect "$1: attached" "$4" "$(attached)"
	[[ $3 == - ]] || before=$(counted 0)
	expect "$1: answer" "$2" "$(target version)"
	case "$3" in
	-)
		return
		;;
	nothing)
		expect "$1: calls seen" "$before" "$(counted 0)"
		return
		;;
	value)
		expect "$1: value seen" "$2" "$(returned 0)"
		;;
	esac
	[[ $(counted 0) -gt $before ]] || fail "$1: the call was not seen"
}

# expect_original() - nobody is there
function expect_original() {
	expect_call "$1" $ORIGINAL_ANSWER - 0
}

# expect_patch(what)
function expect_patch() {
	expect "$1: enabled" 1 "$(klp $PATCH enabled)"
	expect "$1: transition" 0 "$(klp $PATCH transition)"
	expect_call "$1" $PATCH_ANSWER - 1I
}

# expect_other(what) - the other one alone. What sees nothing of the livepatch
# sees the calls of the original.
function expect_other() {
	local sees=$SEES

	[[ $sees == nothing ]] && sees=calls
	expect_call "$1" "$(other_answer $KIND)" "$sees" $ALONE
}

# expect_both(what, who) - the transition has ended, whoever answers
function expect_both() {
	local answer=$PATCH_ANSWER

	expect "$1: enabled" 1 "$(klp $PATCH enabled)"
	expect "$1: transition" 0 "$(klp $PATCH transition)"
	[[ $2 == other ]] && answer=$(other_answer $KIND)
	expect_call "$1" "$answer" "$SEES" "$(with_livepatch $ALONE)"
}

# other_on() - attach it. A kprobe in the body becomes a jump some time later,
# where the code allows that: see to it that the jump is tested then, and have in
# the log which one it was.
function other_on() {
	local MAX_RETRIES=20

	tracer_on $KIND $FUNCTION
	[[ $KIND == kprobe_body ]] || return
	if loop_until 'grep -q "OPTIMIZED" "$SYSFS_KPROBES_DIR/list"'; then
		log "the kprobe is optimized"
	else
		log "the kprobe is not optimized"
	fi
}

function patch_on() {
	load_lp $PATCH
}

function patch_off() {
	disable_lp $PATCH
	unload_lp $PATCH
}

# other_comes_first(who answers) - both are admitted, and go in either order
function other_comes_first() {
	other_on
	expect_other "$KIND"
	patch_on
	expect_both "both" "$1"
	patch_off
	expect_other "after the livepatch"
	patch_on
	expect_both "both again" "$1"
	tracer_off $KIND
	expect_patch "after $KIND"
	patch_off
	expect_original "after both"
}

# patch_comes_first(who answers)
function patch_comes_first() {
	patch_on
	expect_patch "livepatch"
	other_on
	expect_both "both" "$1"
	tracer_off $KIND
	expect_patch "after $KIND"
	other_on
	expect_both "both again" "$1"
	patch_off
	expect_other "after the livepatch"
	tracer_off $KIND
	expect_original "after both"
}

# patch_is_refused() - on account of the other one, which does not notice
function patch_is_refused() {
	other_on
	expect_other "$KIND"
	start_log
	insmod_fails $PATCH "Device or resource busy"
	logged | grep -q "^livepatch: .* for function '$FUNCTION' (-16)$" ||
		fail "no message, or the wrong one"
	expect_other "$KIND, after the refusal"
	tracer_off $KIND
	expect_original "after $KIND"
	# It was not in the way for good.
	patch_on
	expect_patch "livepatch"
	patch_off
}

# try_tracer() - attach the other one, which cannot be. 7.3 says of a kprobe that
# it is registered, although it is not: what is said does not count.
function try_tracer() {
	local module=$(tracer_module $KIND) found params=()

	log "% $KIND on $FUNCTION, to be refused"
	if [[ $KIND == fail_function ]]; then
		fail_function_on $FUNCTION 2> /dev/null
		return
	fi
	[[ $module == $TRACER ]] && params=(kind=$KIND functions=$FUNCTION)
	found=$(insmod test_modules/$module.ko "${params[@]}" 2>&1) && return
	[[ "$found" == *": Device or resource busy" ]] || fail "insmod $module: $found"
}

# forget_tracer() - what was said to be there, and was not
function forget_tracer() {
	local module=$(tracer_module $KIND)

	if [[ $KIND == fail_function ]]; then
		echo > "$FAIL_FUNCTION/inject"
	elif [[ -e /sys/module/$module ]]; then
		[[ $KIND == kprobe_post ]] || fail "$KIND is attached"
		unload_mod $module
	fi
}

# other_is_refused() - on account of the livepatch, which does not notice
function other_is_refused() {
	patch_on
	try_tracer
	expect_patch "livepatch, after the refusal"
	grep -w $FUNCTION "$SYSFS_KPROBES_DIR/list" && fail "the kprobe is in the list"
	forget_tracer
	expect_patch "livepatch"
	patch_off
	expect_original "after the livepatch"
	# It was not in the way for good.
	other_on
	expect_other "$KIND"
	tracer_off $KIND
	expect_original "after $KIND"
}

# consumer(order, who answers) - one case. Uses $KIND, $ALONE and $SEES.
function consumer() {
	trap clean_tracers EXIT
	load_mod $TARGET
	expect_original "before"
	case "$1 $2" in
	"first refused")
		patch_is_refused
		;;
	"second refused")
		other_is_refused
		;;
	first*)
		other_comes_first "$2"
		;;
	second*)
		patch_comes_first "$2"
		;;
	esac
	unload_mod $TARGET
}

# redirect_between(who answers, attached) - another livepatch was there before
# the kprobe. This one may have to queue up behind, if what it hangs on is
# attached only now: then the kprobe is the last to say where the function goes
# on, although the livepatch is in force.
function redirect_between() {
	trap clean_tracers EXIT
	KIND=kprobe_redirect SEES=- ALONE=$2
	load_mod $TARGET
	load_lp $BETWEEN
	other_on
	expect_other "$KIND"
	patch_on
	expect_both "both" $1
	patch_off
	expect_other "after the livepatch"
	tracer_off $KIND
	expect_original "after both"
	disable_lp $BETWEEN
	unload_lp $BETWEEN
	unload_mod $TARGET
}

# case_name(order)
function case_name() {
	if [[ $1 == first ]]; then
		echo "$KIND, then a livepatch"
	else
		echo "a livepatch, then $KIND"
	fi
}

# Patches another function.
BETWEEN=test_klp_livepatch

mapfile -t ROWS < <(grep . <<< "$CONSUMERS")
core_setup $((2 * ${#ROWS[@]} + 1))

# What BPF can attach to is known only when the target is there.
load_mod $TARGET
LACKS=()
for row in "${ROWS[@]}"; do
	LACKS+=("$(tracer_lacks "${row%%$'\t'*}" $FUNCTION)")
done
unload_mod $TARGET

for i in "${!ROWS[@]}"; do
	read -r KIND ALONE FIRST SECOND SEES <<< "${ROWS[i]}"
	if [[ -n "${LACKS[i]}" ]]; then
		core_skip "$(case_name first)" "${LACKS[i]}"
		core_skip "$(case_name second)" "${LACKS[i]}"
		continue
	fi
	core_case "$(case_name first)" consumer first $FIRST
	core_case "$(case_name second)" consumer second $SECOND
done
if kprobes_use_ftrace; then
	core_case "kprobe_redirect between two livepatches: the later one answers" \
		redirect_between livepatch 1
else
	core_case "kprobe_redirect between two livepatches: it answers" \
		redirect_between other 0
fi
core_finish
