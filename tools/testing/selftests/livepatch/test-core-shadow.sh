#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Shadow variables: many of them, in a race, from interrupts. The module does
# the work when it is loaded; here is what the core may say meanwhile.
#
# A second klp_shadow_alloc() for one key is tested by upstream's
# test-shadow-vars.sh: the core warns with a call trace.

. $(dirname $0)/functions.sh
. $(dirname $0)/core-functions.sh

SHADOW=test_klp_core_shadow
COUNT=100000

# shadow(test, messages) - run it; the core says this, and nothing else
function shadow() {
	local messages="$2"

	start_log
	if ! insmod "test_modules/$SHADOW.ko" test="$1" count=$COUNT; then
		fail "$(logged | grep "^$SHADOW: $1: " | tail -n 1)"
	fi
	rmmod $SHADOW || fail "cannot remove $SHADOW"
	# Pointers are not the same twice.
	expect_same "kernel messages" "${messages:+$messages
}$SHADOW: $1: ok" "$(logged | sed 's/<[^,]*, /<object, /')"
}

FAILED="livepatch: Failed to construct shadow variable <object, 7e570001> (-12)"

core_setup 10
core_case "$COUNT variables, found and freed by one and by number" shadow many
core_case "a constructor that fails leaves nothing behind" shadow ctor_fails "$FAILED
$FAILED"
core_case "what exists is returned and not constructed again" shadow existing
core_case "freeing what is not there does nothing" shadow missing
core_case "objects and numbers that are near do not mix" shadow keys
core_case "sizes from 0 to 64 KiB, zeroed" shadow sizes
core_case "threads that make the same variables: one constructor each" shadow race
core_case "readers never see what has been freed and used again" shadow churn
core_case "under a lock with interrupts off" shadow locked
core_case "in an interrupt that comes upon tasks doing the same" shadow irq
core_finish
