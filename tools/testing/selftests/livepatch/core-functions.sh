#!/bin/bash
# SPDX-License-Identifier: GPL-2.0

# Shell functions for the test-core-*.sh scripts, on top of functions.sh. What
# several scripts about one subject share is in core-*-functions.sh.
#
# A script looks like this:
#
#	. $(dirname $0)/functions.sh
#	. $(dirname $0)/core-functions.sh
#
#	core_setup 2
#	core_case "what holds" function arguments...
#	core_case "what else holds" function arguments...
#	core_finish
#
# Each case runs in a subshell: it ends at the first thing that is not as it
# should be, by fail() or by die() of functions.sh. A case that passes has to
# leave nothing behind by itself; after one that failed core_clean() tidies up,
# so that the next ones can go on.

TARGET=test_klp_core_target
TARGET_DIR="$SYSFS_DEBUG_DIR/test_klp_core"
CPU1_ONLINE=/sys/devices/system/cpu/cpu1/online

# Everything that the test modules patch; nothing of it may stay attached.
CORE_PATCHED='\<(core_target_[a-z0-9_]*|cmdline_proc_show|test_klp_mod_target_show)\>'

# Modules with such names cannot be removed any more after test-core-force.sh.
CORE_PINNED='test_klp_core_force*'

# How many seconds anything may take that has to happen.
CORE_TIMEOUT=${CORE_TIMEOUT:-60}

# core_is_rust() - does the Rust core run? Some scripts expect more of it, see
# "Where the cores differ" in Documentation/livepatch/rust-core.rst. The names
# of functions can be read wherever livepatches can be loaded.
function core_is_rust() {
	grep -qw klp_rust_reap /proc/kallsyms
}

# at_exit(command) - what else a script has to undo in the end, before what its
# last case has left behind is
function at_exit() {
	trap "$1"'; core_clean; rm -rf "$CORE_TMP"; cleanup' EXIT
}

# allow_hogs() - until the script ends, a real-time task may have CPU 1 for itself
function allow_hogs() {
	# Gives other tasks a part of each second, whatever real-time tasks there are.
	local fair="$SYSFS_DEBUG_DIR/sched/fair_server/cpu1/runtime"
	local rt=/proc/sys/kernel/sched_rt_runtime_us
	local undo

	[[ -e "$CPU1_ONLINE" || $(nproc) -gt 1 ]] || skip "needs two CPUs"
	[[ -w "$rt" ]] || skip "needs $rt"
	undo="echo $(cat "$rt") > $rt"
	echo -1 > "$rt"
	if [[ -e "$fair" ]]; then
		undo+="; echo $(cat "$fair") > $fair"
		echo 0 > "$fair"
	fi
	at_exit "$undo"
}

# core_setup(number) - start a script
#	number - of the cases to come
function core_setup() {
	local path

	CORE_TOTAL=$1
	CORE_DONE=0
	CORE_FAILED=0

	echo "TAP version 13"
	[[ -e "$SYSFS_DEBUG_DIR/dynamic_debug/control" ]] ||
		skip "needs CONFIG_DYNAMIC_DEBUG, and debugfs on $SYSFS_DEBUG_DIR"
	setup_config
	CORE_TMP=$(mktemp -d) || die "no temporary directory"
	at_exit :
	trap 'exit 1' INT TERM HUP

	CMDLINE=$(cat /proc/cmdline)
	for path in "$SYSFS_KLP_DIR"/*; do
		[[ ! -e "$path" || "${path##*/}" == test_klp_* ]] ||
			skip "livepatch ${path##*/} is there, which this would disable"
	done
	core_clean || die "cannot clean up before the first case: $(core_leftovers)"
	echo "1..$CORE_TOTAL"
}

# core_case(description, function, arguments) - run one case
function core_case() {
	local description="$1"; shift
	local start=$EPOCHREALTIME
	local status left reason

	log "===== CASE: $description ====="
	: > "$CORE_TMP/pids"
	rm -f "$CORE_TMP/stop"
	( "$@" ) < /dev/null &> "$CORE_TMP/out"
	status=$?

	if [[ $status -eq 0 ]]; then
		left=$(core_leftovers)
		[[ -n "$left" ]] && reason="left behind: $left"
	else
		reason=$(grep . "$CORE_TMP/out" | tail -n 1)
		[[ -n "$reason" ]] || reason="ended with $status"
	fi

	CORE_DONE=$((CORE_DONE + 1))
	if [[ -z "$reason" ]]; then
		echo "ok $CORE_DONE - $description"
	else
		CORE_FAILED=$((CORE_FAILED + 1))
		echo "not ok $CORE_DONE - $description # ${reason//$'\n'/; }"
		tail -n 40 "$CORE_TMP/out" | sed 's/^/# /'
		dmesg | tail -n 20 | sed 's/^/# dmesg: /'
		log "===== FAILED: $description: $reason ====="
	fi
	echo "$start $EPOCHREALTIME" | awk '{ printf "# %.1f s\n", $2 - $1 }'

	[[ -n "$reason" ]] || : > "$CORE_TMP/pids"
	if [[ -n "$reason" ]] && ! core_clean; then
		echo "Bail out! cannot clean up: $(core_leftovers)"
		exit 1
	fi
}

# core_skip(description, reason) - a case for which this kernel lacks something
function core_skip() {
	CORE_DONE=$((CORE_DONE + 1))
	echo "ok $CORE_DONE - $1 # SKIP $2"
}

# core_finish() - end a script
function core_finish() {
	if [[ $CORE_DONE -ne $CORE_TOTAL ]]; then
		echo "# ran $CORE_DONE cases of $CORE_TOTAL"
		exit 1
	fi
	[[ $CORE_FAILED -eq 0 ]]
	exit
}

# core_leftovers() - print what a case must not leave behind
function core_leftovers() {
	local path list=()

	for path in "$SYSFS_KLP_DIR"/*; do
		[[ -e "$path" ]] && list+=("$path")
	done
	for path in /sys/module/test_klp_*; do
		[[ -e "$path" && "${path##*/}" != $CORE_PINNED ]] &&
			list+=("$path")
	done
	for path in $(grep -Eo "$CORE_PATCHED" "$SYSFS_TRACING_DIR/enabled_functions"); do
		list+=("attached: $path")
	done
	for path in $(tasks_in_state 0 1); do
		list+=("patch_state of task $path")
	done
	[[ -e "$CPU1_ONLINE" && $(cat "$CPU1_ONLINE") != 1 ]] &&
		list+=("$CPU1_ONLINE")
	echo -n "${list[*]}"
}

# core_clean() - bring the system back to where a case starts. Fails if it
# cannot.
function core_clean() {
	local MAX_RETRIES=100
	local pid path name

	touch "$CORE_TMP/stop"
	[[ -e "$CPU1_ONLINE" ]] && echo 1 > "$CPU1_ONLINE"
	if [[ -d "$TARGET_DIR" ]]; then
		echo 0 > "$TARGET_DIR/hammer"
		echo 1 > "$TARGET_DIR/release"
		echo 0 > "$TARGET_DIR/kthread"
		echo 0 > "$TARGET_DIR/spin"
	fi
	if [[ -e "$CORE_TMP/pids" ]]; then
		while read -r pid; do
			kill -KILL "$pid"
		done < "$CORE_TMP/pids"
	fi

	# The latest first. A transition has to end before the next can begin.
	for path in $(ls -td "$SYSFS_KLP_DIR"/*/); do
		loop_until '[[ $(cat "$SYSFS_KLP_DIR"/*/transition) != *1* ]]'
		[[ $(cat "$path/enabled") == 1 ]] && echo 0 > "$path/enabled"
		loop_until '[[ ! -e "$path" ]]'
	done

	for path in /sys/module/test_klp_*; do
		name=${path##*/}
		[[ -e "$path" && "$name" != $CORE_PINNED ]] &&
			loop_until 'rmmod "$name" || [[ ! -e "$path" ]]'
	done
	for path in /sys/module/$CORE_PINNED; do
		[[ -e "$path" ]] && rmmod "${path##*/}"
	done

	loop_until '[[ -z "$(core_leftovers)" ]]'
} &> /dev/null

# fail(reason) - end the case
function fail() {
	echo "$1" >&2
	exit 1
}

# expect(what, wanted, found)
function expect() {
	[[ "$2" == "$3" ]] || fail "$1: expected '$2', found '$3'"
}

# expect_same(what, wanted, found) - the same for many lines
function expect_same() {
	echo "$2" > "$CORE_TMP/expected"
	echo "$3" > "$CORE_TMP/found"
	diff -u --label expected --label found "$CORE_TMP/expected" \
		"$CORE_TMP/found" || fail "$1: not as expected, see below"
}

# expect_soon(what, command) - wait until the command succeeds
function expect_soon() {
	local end=$((SECONDS + CORE_TIMEOUT))

	until eval "$2"; do
		((SECONDS < end)) || fail "waited in vain: $1"
		sleep $RETRY_INTERVAL
	done
}

# expect_end(pid) - wait until this child has ended. Returns its status.
function expect_end() {
	expect_soon "end of process $1" "! kill -0 $1 2> /dev/null"
	wait "$1"
}

# expect_all_end() - the same with all children
function expect_all_end() {
	local pid

	for pid in $(jobs -p); do
		expect_end "$pid"
	done
	return 0
}

# expect_write_error(file, value, error)
function expect_write_error() {
	local found

	log "% echo $2 > $1"
	if found=$( { echo "$2" > "$1"; } 2>&1 ); then
		fail "writing '$2' to $1 succeeded, expected: $3"
	fi
	[[ "$found" == *": $3" ]] ||
		fail "writing '$2' to $1: expected '$3', found '$found'"
}

# write(file, value) - with a line in the log
function write() {
	log "% echo $2 > $1"
	echo "$2" > "$1" || fail "cannot write '$2' to $1"
}

# target(file) - read a file of the target module
function target() {
	cat "$TARGET_DIR/$1"
}

# klp(patch, file) - read a file of a patch
function klp() {
	cat "$SYSFS_KLP_DIR/$1/$2"
}

# expect_versions(version, version2) - what do the functions answer now?
function expect_versions() {
	expect version "$1" "$(target version)"
	expect version2 "$2" "$(target version2)"
}

# expect_no_trace(module) - the module is neither loaded nor a patch
function expect_no_trace() {
	[[ ! -e "$SYSFS_KLP_DIR/$1" ]] || fail "$SYSFS_KLP_DIR/$1 is there"
	[[ ! -e "/sys/module/$1" ]] || fail "/sys/module/$1 is there"
}

# insmod_fails(module, error, parameters) - load a module, expect this error
function insmod_fails() {
	local module="$1"; shift
	local error="$1"; shift
	local found

	found="% insmod test_modules/$module.ko $*"
	log "${found%% }"
	if found=$(insmod "test_modules/$module.ko" "$@" 2>&1); then
		fail "$module is loaded, expected: $error"
	fi
	[[ "$found" == *": $error" ]] ||
		fail "insmod $module: expected '$error', found '$found'"
	expect_no_trace "$module"
}

# end_transition(patch) - wait until it is complete
function end_transition() {
	expect_soon "transition of $1" 'grep -q "^0$" $SYSFS_KLP_DIR/'"$1/transition"
}

# expect_gone(patch) - wait until a disabled patch is removed
function expect_gone() {
	expect_soon "$1 disabled" '[[ ! -e $SYSFS_KLP_DIR/'"$1 ]]"
}

# expect_blocked(patch, enabled) - its transition runs
function expect_blocked() {
	expect "transition of $1" 1 "$(klp "$1" transition)"
	expect "enabled of $1" "$2" "$(klp "$1" enabled)"
}

# expect_in_use(module) - it cannot be removed
function expect_in_use() {
	local found

	found=$(rmmod "$1" 2>&1) && fail "$1 is removed"
	[[ "$found" == *" is in use" ]] || fail "rmmod $1: $found"
}

# only_waits_for(task, state) - all other tasks have been switched
function only_waits_for() {
	expect_soon "all but task $1 switched" \
		'[[ "$(tasks_in_state '"$2"')" == '"$1"' ]]'
}

# remember(pid) - a process that core_clean() has to end
function remember() {
	echo "$1" >> "$CORE_TMP/pids"
}

# start_sleeper() - a task falls asleep in core_target_busy(). Sets SLEEPER.
function start_sleeper() {
	local number=$(($(target sleepers) + 1))

	cat "$TARGET_DIR/busy" > "$CORE_TMP/busy.$number" &
	SLEEPER=$!
	remember $SLEEPER
	expect_soon "sleeper $number" '[[ $(target sleepers) -eq '$number' ]]'
}

# start_kthread_sleeper() - the same with a kernel thread
function start_kthread_sleeper() {
	local number=$(($(target sleepers) + 1))

	echo 1 > "$TARGET_DIR/kthread"
	expect_soon "sleeper $number" '[[ $(target sleepers) -eq '$number' ]]'
}

# release_sleepers() - let them go, and wait for it
function release_sleepers() {
	log "% release the sleepers"
	echo 1 > "$TARGET_DIR/release"
	expect_soon "sleepers gone" '[[ $(target sleepers) -eq 0 ]]'
}

# start_hammers() - user tasks run the script's user_hammer(), which notes mixed
# passes, and kernel threads do passes of their own
function start_hammers() {
	local i

	: > "$CORE_TMP/mixed"
	for i in 1 2; do
		user_hammer &
		remember $!
	done
	write "$TARGET_DIR/hammer" 3
}

function stop_hammers() {
	touch "$CORE_TMP/stop"
	expect_all_end
	write "$TARGET_DIR/hammer" 0
}

# passes(kind) - how many there were: 1 all, 2 by old code, 3 by new, 4 mixed
function passes() {
	target stats | cut -d ' ' -f "$1"
}

# more_passes(kind, number) - wait until there are so many more, or 30
function more_passes() {
	local wanted=$(($(passes "$1") + ${2:-30}))

	expect_soon "passes of kind $1" '[[ $(passes '"$1"') -ge '$wanted' ]]'
}

# expect_unmixed() - no pass so far had old and new code in it
function expect_unmixed() {
	expect "mixed passes" 0 "$(target stats | cut -d ' ' -f 4)"
	expect "mixed passes of user tasks" "" "$(cat "$CORE_TMP/mixed")"
}

# tasks_in_state(states) - ids of the tasks which have one of these patch states
function tasks_in_state() {
	local file state wanted tasks=()

	for file in /proc/[0-9]*/task/[0-9]*/patch_state; do
		{ read -r state < "$file"; } 2> /dev/null || continue
		for wanted in "$@"; do
			[[ "$state" == "$wanted" ]] || continue
			file=${file%/patch_state}
			tasks+=("${file##*/}")
		done
	done
	echo "${tasks[*]}"
}

# start_log() - begin to collect kernel messages
function start_log() {
	CORE_MARK="test-core mark $$ $RANDOM $EPOCHREALTIME"
	log "$CORE_MARK"
	expect_soon "mark in the log" 'dmesg | grep -qF "$CORE_MARK"'
}

# since_start() - all messages since start_log()
function since_start() {
	dmesg | awk -v mark="$CORE_MARK" 'p; index($0, mark) { p = 1 }'
}

# log_has(line) - is that among the messages since start_log()?
function log_has() {
	since_start | grep -qF "$1"
}

# logged() - the messages since start_log(): ours and the core's. "signaling
# remaining tasks" depends on how fast the machine is.
function logged() {
	since_start |
		sed -e 's/^\[[ 0-9.]*\] //' -e 's/^\[[ ]*[CT][0-9]*\] //' |
		grep -e '^livepatch:' -e '^% ' -e '^test_klp' |
		grep -v -e 'tainting kernel' -e 'taints kernel' \
			-e '^livepatch: signaling remaining tasks$'
}

# expect_log(lines) - these were the messages since start_log()
function expect_log() {
	expect_same "kernel messages" "$1" "$(logged)"
}

# What the core says. The first argument is the patch.
function says_enabling() {
	echo "livepatch: enabling patch '$1'
livepatch: '$1': initializing patching transition
livepatch: '$1': starting patching transition"
}

function says_enabled() {
	echo "livepatch: '$1': completing patching transition
livepatch: '$1': patching complete"
}

function says_disabling() {
	echo "livepatch: '$1': initializing unpatching transition
livepatch: '$1': starting unpatching transition"
}

function says_disabled() {
	echo "livepatch: '$1': completing unpatching transition
livepatch: '$1': unpatching complete"
}

function says_reversing_to_unpatching() {
	echo "livepatch: '$1': reversing transition from patching to unpatching
livepatch: '$1': starting unpatching transition"
}

function says_reversing_to_patching() {
	echo "livepatch: '$1': reversing transition from unpatching to patching
livepatch: '$1': starting patching transition"
}

# with_callbacks(lines, callback, patch, objects...) - the same lines, and
# before the last one what test_klp_core_param*.ko prints in its callbacks
function with_callbacks() {
	local lines="$1" callback="$2" patch="$3"; shift 3

	echo "${lines%$'\n'*}"
	printf "$patch: $callback: %s\n" "$@"
	echo "${lines##*$'\n'}"
}
