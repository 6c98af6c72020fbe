#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Livepatches and patched modules come and go, again and again, while tasks come
# and go: nothing may stay behind. Not in sysfs, not as a module reference, and
# not in memory.

. $(dirname $0)/functions.sh
. $(dirname $0)/core-functions.sh

FIRST=test_klp_core_stack1
SECOND=test_klp_atomic_replace
ROUNDS=${CORE_ROUNDS:-200}
# Memory is looked at after so many rounds, when all caches are filled.
WARM=$((ROUNDS / 10))
# What may be different without being a leak: half a kilobyte a round is not.
SLACK_KB=$((64 + ROUNDS / 2))
KMEMLEAK="$SYSFS_DEBUG_DIR/kmemleak"

# storm() - tasks come and go, and call what is patched
function storm() {
	local i

	for ((i = 0; i < 1000000; i++)); do
		[[ -e "$CORE_TMP/stop" ]] && break
		( : )
		read -r _ < /proc/cmdline
	done
}

function start_storm() {
	rm -f "$CORE_TMP/stop"
	storm &
	remember $!
}

function stop_storm() {
	touch "$CORE_TMP/stop"
	expect_all_end
}

# quick_rmmod(module) - as soon as the kernel allows
function quick_rmmod() {
	expect_soon "rmmod $1" "rmmod $1 2> /dev/null"
}

# one_round(number) - one of several orders of events
function one_round() {
	local kind=$(($1 % 4))

	[[ $kind -eq 0 ]] && { insmod test_modules/$TARGET.ko || fail "insmod $TARGET"; }
	insmod test_modules/$FIRST.ko || fail "insmod $FIRST"
	# Into the transition of the first, or after it.
	[[ $kind -eq 1 ]] && end_transition $FIRST
	[[ $kind -ne 0 ]] && { insmod test_modules/$TARGET.ko || fail "insmod $TARGET"; }
	end_transition $FIRST
	expect_versions 1 10

	insmod test_modules/$SECOND.ko replace=1 || fail "insmod $SECOND"
	if [[ $kind -eq 2 ]]; then
		# The module goes while it is given back its functions.
		quick_rmmod $TARGET
	fi
	end_transition $SECOND
	expect_gone $FIRST
	quick_rmmod $FIRST
	if [[ $kind -ne 2 ]]; then
		expect_versions 0 0
		quick_rmmod $TARGET
	fi

	if [[ $kind -eq 3 ]]; then
		# There and back and there.
		echo 0 > "$SYSFS_KLP_DIR/$SECOND/enabled"
		{ echo 1 > "$SYSFS_KLP_DIR/$SECOND/enabled"; } 2> /dev/null
		expect_soon "end of the transition" \
			'! grep -qs 1 $SYSFS_KLP_DIR/$SECOND/transition'
		{ echo 0 > "$SYSFS_KLP_DIR/$SECOND/enabled"; } 2> /dev/null
	else
		echo 0 > "$SYSFS_KLP_DIR/$SECOND/enabled" || fail "cannot disable $SECOND"
	fi
	quick_rmmod $SECOND
}

# keeps_freed_memory() - does the kernel do so, to find who still uses it?
function keeps_freed_memory() {
	{ cat "/boot/config-$(uname -r)" || zcat /proc/config.gz; } 2> /dev/null |
		grep -qx CONFIG_KASAN_GENERIC=y
}

# memory() - kilobytes that the kernel has allocated for itself
function memory() {
	awk '/^(SUnreclaim|VmallocUsed|Percpu):/ { sum += $2 } END { print sum }' /proc/meminfo
}

# snapshot() - what memory() adds up, and the slab caches, as "name kB"
function snapshot() {
	awk '/^(SUnreclaim|VmallocUsed|Percpu):/ { print $1, $2 }' /proc/meminfo
	[[ ! -e /proc/slabinfo ]] ||
		awk 'NR > 2 { print $1, $3 * $4 / 1024 }' /proc/slabinfo
}

# growth() - where the difference is to the snapshot in $CORE_TMP/memory
function growth() {
	snapshot | awk '
		NR == FNR { before[$1] = $2; next }
		$2 - before[$1] >= 8 { printf "%s +%d kB\n", $1, $2 - before[$1] }
	' "$CORE_TMP/memory" -
}

function rounds() {
	local round before

	start_storm
	for ((round = 1; round <= ROUNDS; round++)); do
		one_round $round
		if ((round == WARM)); then
			stop_storm
			expect "left behind after $round rounds" "" "$(core_leftovers)"
			before=$(memory)
			snapshot > "$CORE_TMP/memory"
			start_storm
		fi
	done
	stop_storm
	expect "left behind after $ROUNDS rounds" "" "$(core_leftovers)"
	expect "patches" "" "$(ls "$SYSFS_KLP_DIR")"
	# What RCU callbacks and work items have to free takes its time.
	log "memory after $WARM rounds: $before kB, after $ROUNDS: $(memory) kB"
	growth
	keeps_freed_memory || expect_soon "memory back at $before kB, is $(memory) kB" \
		'[[ $(memory) -le '$((before + SLACK_KB))' ]]'
}

# Of the livepatch core and of what it uses: whoever else leaks is not our business.
function no_leak() {
	echo clear > "$KMEMLEAK"
	ROUNDS=20
	WARM=5
	rounds
	# An object is reported when two scans have not found a reference to it.
	echo scan > "$KMEMLEAK"
	echo scan > "$KMEMLEAK"
	expect_same "kmemleak" "" "$(cat "$KMEMLEAK")"
}

if [[ -e "$KMEMLEAK" ]]; then
	core_setup 2
else
	core_setup 1
fi
core_case "$ROUNDS rounds of enabling, replacing, disabling, modules that come and go" rounds
if [[ -e "$KMEMLEAK" ]]; then
	core_case "kmemleak finds nothing" no_leak
fi
core_finish
