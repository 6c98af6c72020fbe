#!/bin/bash
# SPDX-License-Identifier: GPL-2.0

# Others that attach to functions beside a livepatch, for scripts that have
# test_klp_core_target loaded. Source after core-functions.sh.
#
# What kinds there are:
#
#	function, function_graph	the tracers
#	kprobe_event, kretprobe_event	events of the tracing directory
#	fail_function			fault injection
#	livepatch			another livepatch
#	direct				a direct caller that shares the function
#	direct_alone			and one that does not
#	fentry, fexit, fmod_ret, fmod_ret_pass, override_return
#					BPF programs, see test_klp-bpf.c
#	anything else			see test_klp_core_tracer.c

TRACER=test_klp_core_tracer
DIRECT=test_klp_core_direct
OTHER_PATCH=test_klp_core_stack2
KPROBE_EVENTS="$SYSFS_TRACING_DIR/kprobe_events"
EVENTS="$SYSFS_TRACING_DIR/events/core_probe"
FAIL_FUNCTION="$SYSFS_DEBUG_DIR/fail_function"
BPF_KINDS=" fentry fexit fmod_ret fmod_ret_pass override_return "

# How those answer who decide it.
FAIL_FUNCTION_ANSWER=-5
BPF_ANSWER=-22

# is_bpf(kind)
function is_bpf() {
	[[ "$BPF_KINDS" == *" $1 "* ]]
}

# tracer_module(kind) - which module has it?
function tracer_module() {
	case "$1" in
	direct|direct_alone)
		echo $DIRECT
		;;
	livepatch)
		echo $OTHER_PATCH
		;;
	*)
		echo $TRACER
		;;
	esac
}

# tracer_lacks(kind, function) - print what this kernel lacks for it, if
# anything. A function of the target module takes that to be loaded.
function tracer_lacks() {
	case "$1" in
	function|function_graph)
		grep -qw "$1" "$SYSFS_TRACING_DIR/available_tracers" ||
			echo "no tracer $1"
		;;
	*_event)
		[[ -e "$KPROBE_EVENTS" ]] || echo "needs CONFIG_KPROBE_EVENTS"
		;;
	fprobe*)
		grep -qw register_fprobe_syms /proc/kallsyms || echo "needs CONFIG_FPROBE"
		;;
	fail_function)
		[[ -e "$FAIL_FUNCTION/inject" ]] || echo "needs CONFIG_FAIL_FUNCTION"
		;;
	direct*)
		grep -qw register_ftrace_direct /proc/kallsyms ||
			echo "no direct callers on $(uname -m)"
		;;
	*)
		is_bpf "$1" && bpf_lacks "$@"
		;;
	esac
}

# direct_sees_patched() - does a direct caller, too, when a livepatch leads the
# call elsewhere? The trampoline of powerpc does either the one or the other.
function direct_sees_patched() {
	[[ $(uname -m) != ppc64* ]]
}

# kprobes_use_ftrace() - or are they breakpoints, of which ftrace does not know?
function kprobes_use_ftrace() {
	grep -qw kprobe_ftrace_handler /proc/kallsyms
}

# unwinds_returns(kind) - does the unwinder know where a function returns to that
# this one traces? Not behind the address of a kretprobe, but for two architectures.
function unwinds_returns() {
	[[ $1 != kretprobe || $(uname -m) == @(x86_64|aarch64) ]]
}

# available(kinds) - those of them that this kernel has
function available() {
	local kind

	for kind; do
		[[ -n "$(tracer_lacks "$kind" cmdline_proc_show)" ]] || echo "$kind"
	done
}

# bpf_name(function) - what test_klp-bpf calls it
function bpf_name() {
	[[ $1 == core_target_* ]] && echo -n "$TARGET:"
	echo "$1"
}

# bpf_lacks(kind, function) - the program knows best, so let it try
function bpf_lacks() {
	[[ -x ./test_klp-bpf ]] || { echo "test_klp-bpf is not built"; return; }
	./test_klp-bpf "$1" $BPF_ANSWER "$(bpf_name "$2")" < /dev/null |
		sed -n 's/^lacks /needs /p'
}

# bpf_start(kind, functions) - have the program attach. It says so, or why it
# does not: $BPF_SAYS.
function bpf_start() {
	local kind="$1"; shift
	local function symbols=()

	for function; do
		symbols+=("$(bpf_name "$function")")
	done
	# Who writes to a program that is gone gets an error.
	trap '' PIPE
	BPF_OUT="$CORE_TMP/bpf"
	: > "$BPF_OUT"
	exec {BPF_IN}> >(exec ./test_klp-bpf "$kind" $BPF_ANSWER "${symbols[@]}" &> "$BPF_OUT")
	BPF_PID=$!
	remember $BPF_PID
	expect_soon "test_klp-bpf says something" '[[ -s "$BPF_OUT" ]]'
	BPF_SAYS=$(head -n 1 "$BPF_OUT")
}

# bpf_stop() - end the program: what it had attached goes with it
function bpf_stop() {
	kill $BPF_PID 2> /dev/null
	exec {BPF_IN}>&-
	expect_soon "end of test_klp-bpf" '! kill -0 $BPF_PID 2> /dev/null'
	BPF_PID=
}

# bpf_says(number) - calls, or what was returned: the first or second word of
# the program's answer to a line
function bpf_says() {
	local lines=$(wc -l < "$BPF_OUT")

	echo count >&$BPF_IN || fail "test_klp-bpf has gone: $(tail -n 1 "$BPF_OUT")"
	expect_soon "an answer of test_klp-bpf" '[[ $(wc -l < "$BPF_OUT") -gt '$lines' ]]'
	tail -n 1 "$BPF_OUT" | cut -d ' ' -f "$1"
}

# fail_function_on(function) - fails if it is refused
function fail_function_on() {
	local setting

	for setting in probability times verbose; do
		[[ -e "$CORE_TMP/fail_function.$setting" ]] ||
			cp "$FAIL_FUNCTION/$setting" "$CORE_TMP/fail_function.$setting"
	done
	echo 100 > "$FAIL_FUNCTION/probability"
	echo -1 > "$FAIL_FUNCTION/times"
	echo 0 > "$FAIL_FUNCTION/verbose"
	echo "$1" > "$FAIL_FUNCTION/inject" || return
	printf '%#x\n' $FAIL_FUNCTION_ANSWER > "$FAIL_FUNCTION/$1/retval"
}

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
	fail_function)
		fail_function_on "$1" || fail "no $kind on $1"
		;;
	livepatch)
		load_lp $OTHER_PATCH
		;;
	direct)
		load_mod $DIRECT agree=1
		;;
	direct_alone)
		load_mod $DIRECT
		;;
	*)
		if is_bpf "$kind"; then
			bpf_start "$kind" "${TRACED[@]}"
			expect test_klp-bpf attached "$BPF_SAYS"
		else
			load_mod $TRACER kind="$kind" \
				functions="$(IFS=,; echo "${TRACED[*]}")"
		fi
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
	fail_function)
		echo > "$FAIL_FUNCTION/inject"
		;;
	livepatch)
		disable_lp $OTHER_PATCH
		unload_lp $OTHER_PATCH
		;;
	*)
		if is_bpf "$1"; then
			bpf_stop
		else
			unload_mod "$(tracer_module "$1")"
		fi
		;;
	esac
}

# clean_tracers() - at the end of a case, whatever has become of it. Modules and
# the BPF program are core_clean()'s.
function clean_tracers() {
	local saved

	echo nop > "$SYSFS_TRACING_DIR/current_tracer"
	echo > "$SYSFS_TRACING_DIR/set_ftrace_filter"
	[[ -e "$EVENTS/enable" ]] && echo 0 > "$EVENTS/enable"
	[[ -e "$KPROBE_EVENTS" ]] && echo > "$KPROBE_EVENTS"
	[[ -e "$FAIL_FUNCTION/inject" ]] && echo > "$FAIL_FUNCTION/inject"
	for saved in "$CORE_TMP"/fail_function.*; do
		[[ -e "$saved" ]] && cat "$saved" > "$FAIL_FUNCTION/${saved##*.}"
	done
	echo > "$SYSFS_TRACING_DIR/trace"
}

# of_module(parameter, number) - the part of a module's list that is about this
# one of TRACED
function of_module() {
	local path

	for path in /sys/module/{$TRACER,$DIRECT}/parameters/"$1"; do
		[[ -e "$path" ]] && cut -d , -f $(($2 + 1)) "$path"
	done
}

# counted(number) - how many calls of this one of TRACED has the tracer seen?
function counted() {
	if [[ -n "$BPF_PID" ]]; then
		bpf_says 1 | cut -d , -f $(($1 + 1))
	elif [[ -e "/sys/module/$TRACER" || -e "/sys/module/$DIRECT" ]]; then
		of_module calls "$1"
	else
		grep -Ec "[^-]\<${TRACED[$1]}\>" "$SYSFS_TRACING_DIR/trace"
	fi
}

# returned(number) - and what has it seen that one return?
function returned() {
	if [[ -n "$BPF_PID" ]]; then
		bpf_says 2 | cut -d , -f $(($1 + 1))
	else
		of_module returned "$1"
	fi
}
