#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Register, enable, disable, unregister, by function and by sysfs: one after
# the other, by several at once, and without memory. Only the Rust core has all
# four of them.

. $(dirname $0)/functions.sh
. $(dirname $0)/core-functions.sh
. $(dirname $0)/core-op-functions.sh

FAIL_NTH=/proc/self/fail-nth
FAILSLAB="$SYSFS_DEBUG_DIR/failslab"
ROUNDS=${CORE_ROUNDS:-100}

function by_function() {
	local i

	load_ops 1
	expect "patches" "" "$(ls "$SYSFS_KLP_DIR")"
	start_log
	op 1 register
	expect_disabled ${OP}1
	expect "directory" "enabled force replace stack_order $TARGET transition" \
		"$(echo $(ls "$SYSFS_KLP_DIR/${OP}1"))"
	expect "functions" "core_target_busy,1 core_target_version,1 patched" \
		"$(echo $(ls "$SYSFS_KLP_DIR/${OP}1/$TARGET"))"
	expect "patched" 0 "$(klp ${OP}1 $TARGET/patched)"
	expect_versions 0 0
	op 1 enable
	expect_enabled ${OP}1 1
	expect_versions 1 0
	op 1 disable
	expect_disabled ${OP}1
	expect_versions 0 0
	op 1 unregister
	expect "patches" "" "$(ls "$SYSFS_KLP_DIR")"
	expect_log "$(says_operation 1 register)
livepatch: registering patch '${OP}1'
$(says_operation 1 enable)
$(says_enabling ${OP}1)
$(says_enabled ${OP}1)
$(says_operation 1 disable)
$(says_disabling ${OP}1)
$(says_disabled ${OP}1)
$(says_operation 1 unregister)
livepatch: unregistering patch '${OP}1'"
	for i in 1 2 3; do
		op 1 register
		op 1 enable
		expect_enabled ${OP}1 1
		op 1 disable
		expect_disabled ${OP}1
		op 1 unregister
	done
	unload_ops 1
}

function by_sysfs() {
	local i

	load_ops 1
	op 1 register
	for i in 1 2 3 4 5; do
		set_enabled ${OP}1 1
		expect_enabled ${OP}1 1
		expect_versions 1 0
		expect "patched" 1 "$(klp ${OP}1 $TARGET/patched)"
		set_enabled_fails ${OP}1 1 "$EINVAL"
		op_fails 1 enable "$EINVAL"
		set_enabled ${OP}1 0
		expect_disabled ${OP}1
		expect_versions 0 0
		expect "patched" 0 "$(klp ${OP}1 $TARGET/patched)"
		set_enabled_fails ${OP}1 0 "$EINVAL"
		op_fails 1 disable "$EINVAL"
	done
	expect_write_error "$SYSFS_KLP_DIR/${OP}1/enabled" maybe "$EINVAL"
	expect_write_error "$SYSFS_KLP_DIR/${OP}1/force" 1 "$EINVAL"
	# Its exit function unregisters it.
	unload_ops 1
}

function refused() {
	load_ops 1 2
	op_fails 1 disable "$EINVAL"
	op_fails 1 unregister "$EINVAL"
	op 1 register
	op_fails 1 register "$EEXIST"
	op_fails 2 disable "$EINVAL"
	op 1 enable
	op_fails 1 register "$EEXIST"
	op_fails 1 unregister "$EBUSY"
	expect_enabled ${OP}1 1
	op_fails 1 unregister "$EBUSY"
	expect_in_use ${OP}1
	op 1 disable
	expect_disabled ${OP}1
	op 1 unregister
	op_fails 1 unregister "$EINVAL"
	op_fails 1 disable "$EINVAL"
	unload_ops 1 2
}

# A livepatch that was never registered is enabled once, by a call from
# anywhere in its module, and can be so again and again.
function one_shot() {
	local i

	load_ops 1
	for i in 1 2 3; do
		op 1 enable
		expect_enabled ${OP}1 1
		expect_versions 1 0
		op_fails 1 enable "$EEXIST"
		op_fails 1 register "$EEXIST"
		op_fails 1 unregister "$EINVAL"
		if ((i % 2)); then
			op 1 disable
		else
			set_enabled ${OP}1 0
		fi
		expect_gone ${OP}1
		expect_soon "no references" '[[ $(cat /sys/module/'${OP}1'/refcnt) == 0 ]]'
		expect_versions 0 0
	done
	unload_ops 1
}

# writer(patch, number) - writes 1 and 0, and says what happened
function writer() {
	local error value i written=0

	for ((i = 0; i < $2; i++)); do
		value=$((RANDOM % 2))
		echo >> "$CORE_TMP/tried"
		error=$( { echo $value > "$SYSFS_KLP_DIR/$1/enabled"; } 2>&1 ) && {
			written=$((written + 1))
			continue
		}
		case "$error" in
		*": $EINVAL"|*": $EBUSY"|*": $ENOENT"|*": No such device") ;;
		# The directory is there, and the file is not yet or no more.
		*": Permission denied") ;;
		*) echo "$error" >> "$CORE_TMP/errors" ;;
		esac
	done
	echo $written >> "$CORE_TMP/written"
}

function two_writers() {
	local i tried

	load_ops 1
	op 1 register
	: > "$CORE_TMP/errors"
	: > "$CORE_TMP/written"
	: > "$CORE_TMP/tried"
	for i in 1 2 3; do
		writer ${OP}1 $((3 * ROUNDS)) &
	done
	# It takes as long as it takes, but they get on.
	while [[ -n "$(jobs -rp)" ]]; do
		tried=$(wc -l < "$CORE_TMP/tried")
		expect_soon "writers get on after $tried writes" \
			'[[ -z "$(jobs -rp)" || $(wc -l < "$CORE_TMP/tried") -gt '$tried' ]]'
	done
	expect "writers" 3 "$(grep -c . "$CORE_TMP/written")"
	grep -qx 0 "$CORE_TMP/written" && fail "one of them could never write"
	expect "errors" "" "$(cat "$CORE_TMP/errors")"
	end_transition ${OP}1
	if [[ $(klp ${OP}1 enabled) == 1 ]]; then
		expect_enabled ${OP}1 1
		op 1 disable
	fi
	expect_disabled ${OP}1
	unload_ops 1
}

# Someone writes to "enabled" all the time, while the livepatch is registered
# and unregistered, and its module comes and goes.
function write_and_remove() {
	local i removed=0 unregistered=0

	load_mod $TARGET
	: > "$CORE_TMP/errors"
	rm -f "$CORE_TMP/stop"
	( while [[ ! -e "$CORE_TMP/stop" ]]; do writer ${OP}1 10; done ) &
	remember $!
	for ((i = 0; i < ROUNDS; i++)); do
		[[ -e /sys/module/${OP}1 ]] || insmod test_modules/${OP}1.ko ||
			fail "insmod"
		echo register > "$SYSFS_DEBUG_DIR/${OP}1"
		if ((i % 2)); then
			echo unregister > "$SYSFS_DEBUG_DIR/${OP}1" &&
				unregistered=$((unregistered + 1))
		fi
		rmmod ${OP}1 && removed=$((removed + 1))
	done 2> /dev/null
	touch "$CORE_TMP/stop"
	expect_all_end
	expect "errors" "" "$(cat "$CORE_TMP/errors")"
	log "removed $removed times, unregistered $unregistered times"
	((removed > 0 && unregistered > 0)) ||
		fail "removed $removed times, unregistered $unregistered times"
	if [[ -e "$SYSFS_KLP_DIR/${OP}1" ]]; then
		end_transition ${OP}1
		[[ $(klp ${OP}1 enabled) == 0 ]] || set_enabled ${OP}1 0
		expect_disabled ${OP}1
	fi
	[[ ! -e /sys/module/${OP}1 ]] || rmmod ${OP}1
	expect_no_trace ${OP}1
	unload_mod $TARGET
}

# fails_at_each_step(livepatch number, operation, undo, least, version) - without
# the first, second, ... memory allocation the operation fails, at least so many
# times, and all is as it was
function fails_at_each_step() {
	local file="$SYSFS_DEBUG_DIR/$OP$1"
	local before failed=0 nth remaining

	echo 0 > "$FAILSLAB/verbose"
	echo N > "$FAILSLAB/ignore-gfp-wait"
	# Also where the kernel may wait for memory; without a line for each.
	before=$(ls -R "$SYSFS_KLP_DIR")
	for ((nth = 1; nth < 1000; nth++)); do
		# Files are opened before: that takes memory, too.
		exec 7> "$file" 8> "$CORE_TMP/error"
		echo $nth > $FAIL_NTH
		if { echo "$2" >&7; } 2>&8; then
			# What remains of the number has not been used up.
			remaining=
			read -r remaining < $FAIL_NTH
			echo 0 > $FAIL_NTH
			exec 7>&- 8>&-
			[[ $remaining == 0 ]] || break
			# The core did without that piece of memory.
			end_transition "$OP$1"
			$3
			continue
		fi
		echo 0 > $FAIL_NTH
		exec 7>&- 8>&-
		grep -q ": Cannot allocate memory$" "$CORE_TMP/error" ||
			fail "$2, allocation $nth: $(cat "$CORE_TMP/error")"
		failed=$((failed + 1))
		expect "after allocation $nth has failed" "$before" \
			"$(ls -R "$SYSFS_KLP_DIR")"
		expect "references" 0 "$(cat "/sys/module/$OP$1/refcnt")"
		expect_versions $5 0
	done
	log "$2: failed at $failed allocations"
	echo "failed at $failed allocations"
	((failed >= $4)) || fail "$2 failed $failed times, expected at least $4"
}

function disable_again() {
	op 1 disable
	expect_disabled ${OP}1
}

# What was replaced is a one-shot livepatch.
function replace_again() {
	op 8 disable
	expect_disabled ${OP}8
	op 1 enable
	expect_enabled ${OP}1 1
}

function no_memory() {
	load_ops 1
	fails_at_each_step 1 register "op 1 unregister" 8 0
	expect_disabled ${OP}1
	fails_at_each_step 1 enable disable_again 4 0
	expect_enabled ${OP}1 1
	expect_versions 1 0
	op 1 disable
	expect_disabled ${OP}1
	unload_ops 1

	# A replacement that has nops each time it is enabled.
	load_ops 1 8
	op 1 enable
	expect_enabled ${OP}1 1
	op 8 register
	fails_at_each_step 8 enable replace_again 5 1
	expect_enabled ${OP}8 1
	expect_versions 8 0
	op 8 disable
	expect_disabled ${OP}8
	unload_ops 1 8
}

core_setup 7
core_case "by function" by_function
core_case "by sysfs" by_sysfs
core_case "what is not possible" refused
core_case "a one-shot livepatch of a module that stays" one_shot
core_case "several writers" two_writers
core_case "writers while it is unregistered and its module goes" write_and_remove
if [[ -e "$FAILSLAB/ignore-gfp-wait" && -e $FAIL_NTH ]]; then
	core_case "without memory at each step" no_memory
else
	core_skip "without memory at each step" \
		"needs CONFIG_FAILSLAB and CONFIG_FAULT_INJECTION_DEBUG_FS"
fi
core_finish
