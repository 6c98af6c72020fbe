#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The four operations of a livepatch's life: register, enable, disable,
# unregister, by function and by sysfs. Only the Rust core has them.

. $(dirname $0)/functions.sh
. $(dirname $0)/core-functions.sh

OP=test_klp_core_op
LIFE=test_klp_core_life
P1=test_klp_core_param1
P2=test_klp_core_param2
P3=test_klp_core_param3
OTHER=test_klp_mod_target
FAIL_NTH=/proc/self/fail-nth
FAILSLAB="$SYSFS_DEBUG_DIR/failslab"
ROUNDS=${CORE_ROUNDS:-100}

EINVAL="Invalid argument"
EBUSY="Device or resource busy"
EEXIST="File exists"
ENOENT="No such file or directory"

# op(number, operation) - call the function of livepatch number
function op() {
	write "$SYSFS_DEBUG_DIR/$OP$1" "$2"
}

# op_fails(number, operation, error)
function op_fails() {
	expect_write_error "$SYSFS_DEBUG_DIR/$OP$1" "$2" "$3"
}

# set_enabled(patch, value)
function set_enabled() {
	write "$SYSFS_KLP_DIR/$1/enabled" "$2"
}

# set_enabled_fails(patch, value, error)
function set_enabled_fails() {
	expect_write_error "$SYSFS_KLP_DIR/$1/enabled" "$2" "$3"
}

# expect_idle(patch) - it is registered and not in use
function expect_idle() {
	expect_soon "$1 disabled" '[[ $(klp '"$1"' transition) == 0 ]]'
	expect "enabled of $1" 0 "$(klp "$1" enabled)"
	expect "stack_order of $1" 0 "$(klp "$1" stack_order)"
	expect "references to $1" 0 "$(cat "/sys/module/$1/refcnt")"
}

# expect_enabled(patch, position)
function expect_enabled() {
	end_transition "$1"
	expect "enabled of $1" 1 "$(klp "$1" enabled)"
	expect "stack_order of $1" "$2" "$(klp "$1" stack_order)"
	expect "references to $1" 1 "$(cat "/sys/module/$1/refcnt")"
}

# load_ops(numbers...)
function load_ops() {
	local i

	load_mod $TARGET
	for i in "$@"; do
		insmod "test_modules/$OP$i.ko" || fail "insmod $OP$i"
	done
}

function unload_ops() {
	local i

	for i in "$@"; do
		rmmod "$OP$i" || fail "rmmod $OP$i"
		expect_no_trace "$OP$i"
	done
	expect_versions 0 0
	unload_mod $TARGET
}

# load_registered(patch, parameters)
function load_registered() {
	local patch=$1; shift

	log "% insmod test_modules/$patch.ko $*"
	insmod "test_modules/$patch.ko" registered=1 "$@" || fail "insmod $patch"
	expect "enabled of $patch" 0 "$(klp "$patch" enabled)"
}

function says_operation() {
	echo "% echo $2 > $SYSFS_DEBUG_DIR/$OP$1"
}

function by_function() {
	local i

	load_ops 1
	expect "patches" "" "$(ls "$SYSFS_KLP_DIR")"
	start_log
	op 1 register
	expect_idle ${OP}1
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
	expect_idle ${OP}1
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
		expect_idle ${OP}1
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
		expect_idle ${OP}1
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
	expect_idle ${OP}1
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

function reverse_order() {
	local first="livepatch: patch '${OP}3' was enabled after"

	load_ops 1 2 3
	op 1 register
	op 2 register
	op 3 register
	op 2 enable
	expect_enabled ${OP}2 1
	op 1 enable
	expect_enabled ${OP}1 2
	set_enabled ${OP}3 1
	expect_enabled ${OP}3 3
	expect_versions 3 0

	start_log
	op_fails 2 disable "$EBUSY"
	set_enabled_fails ${OP}1 0 "$EBUSY"
	expect_log "$(says_operation 2 disable)
$first '${OP}2': disable it first
% echo 0 > $SYSFS_KLP_DIR/${OP}1/enabled
$first '${OP}1': disable it first"

	op 3 disable
	expect_idle ${OP}3
	expect_versions 1 0
	op_fails 2 disable "$EBUSY"
	op 1 disable
	expect_idle ${OP}1
	expect_versions 2 0
	# On top again.
	op 3 enable
	expect_enabled ${OP}3 2
	op_fails 2 disable "$EBUSY"
	op 3 disable
	expect_idle ${OP}3
	op 2 disable
	expect_idle ${OP}2
	unload_ops 1 2 3
}

# A one-shot livepatch can be disabled wherever it is; a registered one not
# before those above it, of either kind.
function mixed_order() {
	load_ops 1 2 3
	op 1 enable
	expect_enabled ${OP}1 1
	op 2 register
	op 2 enable
	expect_enabled ${OP}2 2
	op 3 enable
	expect_enabled ${OP}3 3
	op_fails 2 disable "$EBUSY"
	op 1 disable
	expect_gone ${OP}1
	expect_versions 3 0
	expect "stack_order of ${OP}2" 1 "$(klp ${OP}2 stack_order)"
	op_fails 2 disable "$EBUSY"
	op 3 disable
	expect_gone ${OP}3
	expect_versions 2 0
	op 2 disable
	expect_idle ${OP}2
	unload_ops 1 2 3
}

# While a transition waits: turn it round, and nothing else.
function in_transition() {
	load_ops 1 2
	op 1 register
	op 2 register
	start_sleeper
	op 1 enable
	only_waits_for $SLEEPER 0
	expect_blocked ${OP}1 1
	op_fails 1 enable "$EINVAL"
	op_fails 1 unregister "$EBUSY"
	op_fails 2 enable "$EBUSY"
	set_enabled_fails ${OP}2 1 "$EBUSY"
	expect_in_use ${OP}1
	# What is not in use can go, and come.
	op 2 unregister
	op 2 register

	op 1 disable
	expect_idle ${OP}1
	set_enabled ${OP}1 1
	only_waits_for $SLEEPER 0
	set_enabled ${OP}1 0
	expect_idle ${OP}1
	op 1 enable
	release_sleepers
	expect_enabled ${OP}1 1

	start_sleeper
	op 1 disable
	only_waits_for $SLEEPER 1
	expect_blocked ${OP}1 0
	op_fails 1 disable "$EINVAL"
	op_fails 1 unregister "$EBUSY"
	op_fails 2 enable "$EBUSY"
	expect_in_use ${OP}1
	op 1 enable
	expect_enabled ${OP}1 1
	op 1 disable
	release_sleepers
	expect_idle ${OP}1
	unload_ops 1 2
}

# says_returned(function, errno)
function says_returned() {
	echo "$LIFE: klp_$1_patch() returned $2"
}

function unknown_patch() {
	start_log
	insmod_fails $LIFE "No space left on device" kind=unknown
	expect_log "% insmod test_modules/$LIFE.ko kind=unknown
$(says_returned disable -22)
$(says_returned unregister -22)
livepatch: the patch descriptor is null
$(says_returned register -22)
$(says_returned disable -22)
$(says_returned unregister -22)"
}

function twice() {
	load_mod $TARGET
	start_log
	insmod test_modules/$LIFE.ko kind=twice || fail "insmod $LIFE"
	rmmod $LIFE || fail "rmmod $LIFE"
	expect_log "livepatch: registering patch '$LIFE'
$(says_returned register 0)
livepatch: patch '$LIFE' is already registered
$(says_returned register -17)
livepatch: patch '$LIFE' is already registered
$(says_returned register -17)
livepatch: patch '$LIFE' is already registered
$(says_returned enable -17)
$(says_returned disable -22)
$(says_returned unregister -22)
livepatch: unregistering patch '$LIFE'
$(says_returned unregister 0)"
	expect_no_trace $LIFE
	unload_mod $TARGET
}

# says_refused_in_callback(operations...)
function says_refused_in_callback() {
	local op

	for op in "$@"; do
		echo "livepatch: klp_${op}_patch() is not possible in a callback
$(says_returned $op -16)"
	done
}

# in_callback(kind)
function in_callback() {
	load_mod $TARGET
	insmod test_modules/$LIFE.ko kind=$1 || fail "insmod $LIFE"
	start_log
	if [[ $1 == veto ]]; then
		set_enabled_fails $LIFE 1 "Numerical argument out of domain"
		expect_log "% echo 1 > $SYSFS_KLP_DIR/$LIFE/enabled
livepatch: enabling patch '$LIFE'
livepatch: '$LIFE': initializing patching transition
$LIFE: pre_patch
$(says_refused_in_callback register enable disable unregister)
livepatch: pre-patch callback failed for object '$TARGET'
livepatch: failed to enable patch '$LIFE'
livepatch: '$LIFE': canceling patching transition, going to unpatch
livepatch: '$LIFE': completing unpatching transition
livepatch: '$LIFE': unpatching complete"
	else
		set_enabled $LIFE 1
		end_transition $LIFE
		expect_versions 1 0
		set_enabled $LIFE 0
	fi
	expect_idle $LIFE
	expect_versions 0 0
	rmmod $LIFE || fail "rmmod $LIFE"
	expect_no_trace $LIFE
	[[ $1 == veto ]] || [[ $(logged) == *"post_unpatch
$(says_refused_in_callback unregister)
livepatch: '$LIFE': unpatching complete"* ]] || fail "unexpected: $(logged)"
	unload_mod $TARGET
}

# init_fails(kind, lines) - the module is loaded as far as its init function
function init_fails() {
	load_mod $TARGET
	start_log
	insmod_fails $LIFE "No space left on device" "kind=\"$1\""
	expect "patches" "" "$(ls "$SYSFS_KLP_DIR")"
	[[ $(logged) == *"
livepatch: module '$LIFE' goes and its patch is still there: removing it"* ]] ||
		fail "unexpected: $(logged)"
	expect_versions 0 0
	unload_mod $TARGET
}

function forgets() {
	local i

	load_mod $TARGET
	for i in 1 2; do
		insmod test_modules/$LIFE.ko kind=forgets || fail "insmod $LIFE"
		set_enabled $LIFE 1
		end_transition $LIFE
		expect_versions 1 0
		expect_in_use $LIFE
		set_enabled $LIFE 0
		expect_idle $LIFE
		start_log
		rmmod $LIFE || fail "rmmod $LIFE"
		expect_log "livepatch: module '$LIFE' goes and its patch is still there: removing it
livepatch: unregistering patch '$LIFE'"
		expect_no_trace $LIFE
	done
	unload_mod $TARGET
}

function bad_function() {
	load_mod $TARGET
	start_log
	insmod_fails $LIFE "Invalid parameters" symbol=core_target_unknown
	expect_log "% insmod test_modules/$LIFE.ko symbol=core_target_unknown
livepatch: registering patch '$LIFE'
livepatch: symbol 'core_target_unknown' not found in symbol table
$(says_returned register -22)"

	# It is registered without the object, whose module comes and is not
	# kept away by a livepatch that is not in use.
	unload_mod $TARGET
	insmod test_modules/$LIFE.ko symbol=core_target_unknown || fail "insmod $LIFE"
	load_mod $TARGET
	start_log
	set_enabled_fails $LIFE 1 "$EINVAL"
	expect_log "% echo 1 > $SYSFS_KLP_DIR/$LIFE/enabled
livepatch: symbol 'core_target_unknown' not found in symbol table"
	expect_idle $LIFE
	# Without the module there is nothing to find.
	unload_mod $TARGET
	set_enabled $LIFE 1
	expect_enabled $LIFE 1
	insmod_fails $TARGET "Invalid parameters"
	set_enabled $LIFE 0
	expect_idle $LIFE
	rmmod $LIFE || fail "rmmod $LIFE"

	# ftrace cannot attach to this one: that is found when it is enabled.
	load_mod $TARGET
	insmod test_modules/$LIFE.ko symbol=core_target_notrace || fail "insmod $LIFE"
	set_enabled_fails $LIFE 1 "$EINVAL"
	expect_idle $LIFE
	rmmod $LIFE || fail "rmmod $LIFE"
	unload_mod $TARGET
}

function late_module() {
	local i

	load_registered $P1 functions=version,show
	set_enabled $P1 1
	expect_enabled $P1 1
	load_mod $TARGET
	expect_versions 1 0
	set_enabled $P1 0
	expect_idle $P1
	expect_versions 0 0
	set_enabled $P1 1
	expect_enabled $P1 1
	expect_versions 1 0
	# It goes while the livepatch is not in use, and comes at another place.
	for i in 1 2 3; do
		set_enabled $P1 0
		expect_idle $P1
		unload_mod $TARGET
		load_mod $OTHER
		load_mod $TARGET
		expect_versions 0 0
		set_enabled $P1 1
		expect_enabled $P1 1
		expect_versions 1 0
		expect "patched" "1 1" "$(klp $P1 $TARGET/patched) $(klp $P1 $OTHER/patched)"
		unload_mod $OTHER
	done
	unload_mod $TARGET
	expect "patched" "0 0" "$(klp $P1 $TARGET/patched) $(klp $P1 $OTHER/patched)"
	set_enabled $P1 0
	expect_idle $P1
	unload_mod $P1
}

# A replaced livepatch that was registered still is.
function replaced() {
	load_mod $TARGET
	load_registered $P1 functions=version,busy version=11
	load_lp $P2 functions=version2 version=12
	set_enabled $P1 1
	expect_enabled $P1 2
	expect_versions 11 12

	# by a one-shot livepatch
	load_lp $P3 functions=version2 version=13 replace=1
	expect_versions 0 13
	expect_idle $P1
	expect_gone $P2
	expect_soon "no references" '[[ $(cat /sys/module/'$P2'/refcnt) == 0 ]]'
	unload_lp $P2
	set_enabled $P1 1
	expect_enabled $P1 2
	expect_versions 11 13
	set_enabled $P1 0
	expect_idle $P1
	disable_lp $P3
	unload_lp $P3

	# by a registered one, again and again
	load_registered $P3 functions=version2 version=13 replace=1
	for _ in 1 2 3; do
		set_enabled $P1 1
		expect_enabled $P1 1
		expect_versions 11 0
		set_enabled $P3 1
		expect_enabled $P3 1
		expect_idle $P1
		expect_versions 0 13
		expect "functions of $P3" "core_target_version2,1 patched" \
			"$(echo $(ls "$SYSFS_KLP_DIR/$P3/$TARGET"))"
		set_enabled $P3 0
		expect_idle $P3
		expect_versions 0 0
	done

	# and reversed: the nops are gone, and made anew the next time
	set_enabled $P1 1
	expect_enabled $P1 1
	start_sleeper
	set_enabled $P3 1
	only_waits_for $SLEEPER 0
	expect "functions of $P3" \
		"core_target_busy,1 core_target_version,1 core_target_version2,1 patched" \
		"$(echo $(ls "$SYSFS_KLP_DIR/$P3/$TARGET"))"
	set_enabled $P3 0
	expect_idle $P3
	expect "functions of $P3" "core_target_version2,1 patched" \
		"$(echo $(ls "$SYSFS_KLP_DIR/$P3/$TARGET"))"
	expect_enabled $P1 1
	expect_versions 11 0
	set_enabled $P3 1
	release_sleepers
	expect_enabled $P3 1
	expect_idle $P1
	expect_versions 0 13
	set_enabled $P3 0
	expect_idle $P3
	unload_mod $P3
	unload_mod $P1
	unload_mod $TARGET
}

function states() {
	local message="livepatch: Livepatch patch ($P2) is not compatible"
	message+=" with the already installed livepatches."

	load_mod $TARGET
	load_registered $P1 functions=version version=11 state=2
	# Compatible with what is enabled, and nothing is.
	load_registered $P2 functions=version2 version=12 state=1
	set_enabled $P2 1
	expect_enabled $P2 1
	set_enabled $P1 1
	expect_enabled $P1 2
	set_enabled $P1 0
	expect_idle $P1
	set_enabled $P2 0
	expect_idle $P2

	set_enabled $P1 1
	expect_enabled $P1 1
	start_log
	set_enabled_fails $P2 1 "$EINVAL"
	expect_log "% echo 1 > $SYSFS_KLP_DIR/$P2/enabled
$message"
	expect_idle $P2
	expect_versions 11 0
	load_registered $P3 functions=version version=13 state=3 callbacks=1
	start_log
	set_enabled $P3 1
	expect_enabled $P3 2
	[[ $(logged) == *"$P3: state 3, before 2"* ]] || fail "unexpected: $(logged)"
	set_enabled $P3 0
	expect_idle $P3
	set_enabled $P1 0
	expect_idle $P1
	start_log
	set_enabled $P3 1
	expect_enabled $P3 1
	[[ $(logged) == *"$P3: state 3, before 0"* ]] || fail "unexpected: $(logged)"
	set_enabled $P3 0
	expect_idle $P3
	unload_mod $P1
	unload_mod $P2
	unload_mod $P3
	unload_mod $TARGET
}

# What the replacement attached stays, until someone frees it.
function shadow() {
	load_mod $TARGET
	load_registered $P1 functions=count version=1 callbacks=1
	load_registered $P2 functions=count version=2 callbacks=1 free_shadow=1
	set_enabled $P1 1
	expect_enabled $P1 1
	expect "count" 101 "$(target version2)"
	set_enabled $P1 0
	expect_idle $P1
	set_enabled $P1 1
	expect_enabled $P1 1
	expect "count" 102 "$(target version2)"
	set_enabled $P2 1
	expect_enabled $P2 2
	expect "count" 103 "$(target version2)"
	set_enabled $P2 0
	expect_idle $P2
	expect "count" 101 "$(target version2)"
	set_enabled $P1 0
	expect_idle $P1
	set_enabled $P2 1
	expect_enabled $P2 1
	set_enabled $P2 0
	expect_idle $P2
	unload_mod $P1
	unload_mod $P2
	unload_mod $TARGET
}

# The other direction leaves a module behind for good: test-core-zz-force.sh.
function forced() {
	load_ops 1
	op 1 register
	start_sleeper
	op 1 enable
	only_waits_for $SLEEPER 0
	write "$SYSFS_KLP_DIR/${OP}1/force" 1
	expect_enabled ${OP}1 1
	release_sleepers
	op 1 disable
	expect_idle ${OP}1
	unload_ops 1
}

# fails_at_each_step(livepatch number, operation, undo, least, version) - without
# the first, second, ... memory allocation the operation fails, at least so many
# times, and all is as it was
function fails_at_each_step() {
	local file="$SYSFS_DEBUG_DIR/$OP$1"
	local before failed=0 nth left

	echo 0 > "$FAILSLAB/verbose"
	echo N > "$FAILSLAB/ignore-gfp-wait"
	# Also where the kernel may wait for memory; without a line for each.
	before=$(ls -R "$SYSFS_KLP_DIR")
	for ((nth = 1; nth < 1000; nth++)); do
		# Files are opened before: that takes memory, too.
		exec 7> "$file" 8> "$CORE_TMP/error"
		echo $nth > $FAIL_NTH
		if { echo "$2" >&7; } 2>&8; then
			# What is left of the number has not been used up.
			left=
			read -r left < $FAIL_NTH
			echo 0 > $FAIL_NTH
			exec 7>&- 8>&-
			[[ $left == 0 ]] || break
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

function no_memory() {
	load_ops 1
	fails_at_each_step 1 register "op 1 unregister" 8 0
	expect_idle ${OP}1
	fails_at_each_step 1 enable disable_again 4 0
	expect_enabled ${OP}1 1
	expect_versions 1 0
	op 1 disable
	expect_idle ${OP}1
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
	expect_idle ${OP}8
	unload_ops 1 8
}

# What was replaced is a one-shot livepatch.
function replace_again() {
	op 8 disable
	expect_idle ${OP}8
	op 1 enable
	expect_enabled ${OP}1 1
}

function disable_again() {
	op 1 disable
	expect_idle ${OP}1
}

# writer(patch, number) - writes 1 and 0, and says what happened
function writer() {
	local error value i written=0

	for ((i = 0; i < $2; i++)); do
		value=$((RANDOM % 2))
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
	local i

	load_ops 1
	op 1 register
	: > "$CORE_TMP/errors"
	: > "$CORE_TMP/written"
	for i in 1 2 3; do
		writer ${OP}1 $((3 * ROUNDS)) &
	done
	wait
	expect "writers" 3 "$(grep -c . "$CORE_TMP/written")"
	grep -qx 0 "$CORE_TMP/written" && fail "one of them could never write"
	expect "errors" "" "$(cat "$CORE_TMP/errors")"
	end_transition ${OP}1
	if [[ $(klp ${OP}1 enabled) == 1 ]]; then
		expect_enabled ${OP}1 1
		op 1 disable
	fi
	expect_idle ${OP}1
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
	wait
	expect "errors" "" "$(cat "$CORE_TMP/errors")"
	log "removed $removed times, unregistered $unregistered times"
	((removed > 0 && unregistered > 0)) ||
		fail "removed $removed times, unregistered $unregistered times"
	if [[ -e "$SYSFS_KLP_DIR/${OP}1" ]]; then
		end_transition ${OP}1
		[[ $(klp ${OP}1 enabled) == 0 ]] || set_enabled ${OP}1 0
		expect_idle ${OP}1
	fi
	[[ ! -e /sys/module/${OP}1 ]] || rmmod ${OP}1
	expect_no_trace ${OP}1
	unload_mod $TARGET
}

core_setup 24
core_case "by function" by_function
core_case "by sysfs" by_sysfs
core_case "what is not possible" refused
core_case "a one-shot livepatch of a module that stays" one_shot
core_case "disabled in reverse order" reverse_order
core_case "registered between one-shot livepatches" mixed_order
core_case "in transition" in_transition
core_case "a livepatch that nobody knows" unknown_patch
core_case "registered twice" twice
core_case "from within callbacks" in_callback callback
core_case "from within a callback that fails" in_callback veto
core_case "the module's init function registers and fails" init_fails fails
core_case "it registers, enables and fails" init_fails "enabled fails"
core_case "it enables a one-shot livepatch and fails" init_fails "one-shot fails"
core_case "the module does not unregister its livepatch" forgets
core_case "a function that does not exist, now or later" bad_function
core_case "modules that come and go" late_module
core_case "replaced and enabled again" replaced
core_case "system states" states
core_case "shadow variables" shadow
core_case "forced" forced
core_case "without memory at each step" no_memory
core_case "several writers" two_writers
core_case "writers while it is unregistered and its module goes" write_and_remove
core_finish
