#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# In the guest: what a call of a patched function costs, in instructions. Lines
# "row NAME COST...", a tenth of an instruction each, one for each run.
#
#	calls.sh [OTHERS]	so many other functions are patched for the last rows, which are not
#				there without it

cd /klp/selftests/bench || exit 1
KLP=/sys/kernel/livepatch
BENCH=/sys/module/klp_bench/parameters
TRACING=/sys/kernel/tracing
RUNS=${RUNS:-3}
OTHERS=${1:-}

die() {
	echo "error: $*"
	exit 1
}

# soon WHAT COMMAND: wait until it succeeds.
soon() {
	local end=$((SECONDS + 120))

	until eval "$2"; do
		((SECONDS < end)) || die "waited in vain: $1"
		sleep 0.05
	done
}

# row NAME [SIDE]: measure, as a task on this side of a transition.
row() {
	local run costs=()

	echo "${2:--1}" > $BENCH/side
	for ((run = 0; run < RUNS; run++)); do
		costs+=("$(cat $BENCH/cost)")
	done
	echo -1 > $BENCH/side
	echo "row $1 ${costs[*]}"
}

# load PATCH: and wait until it is in force for all, and nobody changes text.
load() {
	insmod "$1.ko" || die "insmod $1"
	settled "$1"
}

settled() {
	soon "transition of $1" '[[ $(cat $KLP/'"$1"'/transition) == 0 ]]'
	sleep 0.2
}

unload() {
	echo 0 > "$KLP/$1/enabled" || die "disabling $1"
	gone "$1"
}

gone() {
	soon "$1 disabled" "[[ ! -e $KLP/$1 ]]"
	soon "$1 removed" "rmmod $1 2> /dev/null"
}

# hold PATCH: load it and hold its transition up.
hold() {
	cat $BENCH/hold > /dev/null &
	soon "a sleeper" 'grep -q klp_bench_sleep /proc/$!/stack'
	insmod "$1.ko" || die "insmod $1"
	[[ $(cat "$KLP/$1/transition") == 1 ]] || die "$1 is not in transition"
}

# release: who holds the transition up, leaves.
release() {
	echo 1 > $BENCH/hold
	wait
}

# row_handler NAME: a call that comes to the handler and is in no transition.
row_handler() {
	if [[ -e /sys/module/livepatch/parameters/jump ]]; then
		echo 0 > /sys/module/livepatch/parameters/jump
		sleep 0.5
		row "$1"
		echo 1 > /sys/module/livepatch/parameters/jump
		sleep 0.5
	else
		row "$1"
	fi
}

if [[ -x klp-bench ]]; then
	./klp-bench fork || die "no cost of a fork"
fi
insmod klp_bench.ko || die "insmod klp_bench"
row unpatched

load klp_bench_patch1
row settled
echo klp_bench_call > $TRACING/set_ftrace_filter && echo function > $TRACING/current_tracer ||
	die "no function tracer"
row function_tracer
echo nop > $TRACING/current_tracer
echo > $TRACING/set_ftrace_filter
if echo 'p:klp_bench/call klp_bench:klp_bench_call' > $TRACING/kprobe_events; then
	row kprobe_disabled
	echo 1 > $TRACING/events/klp_bench/enable
	row kprobe
	echo 0 > $TRACING/events/klp_bench/enable
	echo > $TRACING/kprobe_events
else
	echo "left out: kprobes, of which there are none at call sites here"
fi
echo 'f:klp_bench/entry klp_bench_call' > $TRACING/dynamic_events || die "no fprobe"
echo 1 > $TRACING/events/klp_bench/enable
row fprobe
echo 0 > $TRACING/events/klp_bench/enable
echo > $TRACING/dynamic_events
row settled_again
row_handler handler

for ((n = 2; n <= 16; n++)); do
	load klp_bench_patch$n
	[[ $n == 4 || $n == 16 ]] && row stacked_$n
done
for ((n = 16; n >= 2; n--)); do
	unload klp_bench_patch$n
done

hold klp_bench_replace
row nop_old_side 0
row nop_new_side 1
release
settled klp_bench_replace
row replaced
soon "the replaced one removed" "rmmod klp_bench_patch1 2> /dev/null"
unload klp_bench_replace

hold klp_bench_hold
row transition_old_side 0
row transition_new_side 1
release
settled klp_bench_hold
unload klp_bench_hold

row unpatched_again

[[ $OTHERS ]] || exit 0
# Last, and not taken away again: the core in C would need minutes for that.
insmod klp_bench_target.ko || die "insmod klp_bench_target"
./klp-bench --most "$OTHERS" list || die "no list of functions"
insmod klp_bench_many.ko list=/tmp/klp-bench-list object=klp_bench_target count="$OTHERS" ||
	die "insmod klp_bench_many"
settled klp_bench_many
load klp_bench_patch1
row settled_others
row_handler handler_others
