#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The tool "klp" on the kernel that runs: what it does, and that what it says is
# so.
#
# The program is a crate, tools/livepatch/klp in the project's repository, and
# uses other crates: a kernel tree cannot build it. So series/groups leaves this
# script out of the series, and the Makefile here does not list it.

. $(dirname $0)/functions.sh
. $(dirname $0)/core-functions.sh

KLP=$(dirname $(realpath $0))/test_klp-tool
BUSY=test_klp_core_busy
REPLACE=test_klp_core_replace
UPSTREAM=test_klp_livepatch

if [[ ! -x "$KLP" ]]; then
	echo "TAP version 13"
	echo "1..0 # SKIP no $KLP: built from tools/livepatch/klp"
	exit 4
fi

# klp_ends(code, arguments) - run it, expect this exit code. Sets SAID.
function klp_ends() {
	local code="$1" found; shift

	log "% klp $*"
	SAID=$("$KLP" "$@" 2>&1)
	found=$?
	echo "$SAID"
	expect "exit code of klp $1" "$code" "$found"
}

# says(text) - that is in what it has said
function says() {
	[[ "$SAID" == *"$1"* ]] || fail "klp did not say '$1'"
}

function module() {
	echo "test_modules/$1.ko"
}

function load_and_unload() {
	klp_ends 0 status --exit-code
	says "VERDICT  no livepatch"
	klp_ends 0 load "$(module $UPSTREAM)"
	says "$UPSTREAM is patched after "
	expect "enabled" 1 "$(klp $UPSTREAM enabled)"
	expect "transition" 0 "$(klp $UPSTREAM transition)"
	klp_ends 0 status --exit-code
	says "VERDICT  $UPSTREAM is in force"
	if core_is_rust; then
		says "livepatch core: Rust"
	else
		says "livepatch core: C"
	fi
	klp_ends 0 info $UPSTREAM
	says "cmdline_proc_show"
	klp_ends 0 verify $UPSTREAM
	says "$UPSTREAM is in force"
	klp_ends 0 history
	says "complete"
	klp_ends 0 list
	expect "klp list" "$UPSTREAM	enabled" "$SAID"
	# Again: it is what is wanted already.
	klp_ends 0 load "$(module $UPSTREAM)"
	says "$UPSTREAM is loaded already"
	klp_ends 0 enable $UPSTREAM
	klp_ends 0 unload $UPSTREAM
	expect_no_trace $UPSTREAM
}

function disabled_and_collected() {
	klp_ends 0 load "$(module $UPSTREAM)"
	klp_ends 0 disable $UPSTREAM
	says "$UPSTREAM is unpatched after "
	expect_gone $UPSTREAM
	expect_soon "its module is not held" '[[ $(cat /sys/module/$UPSTREAM/refcnt) -eq 0 ]]'
	klp_ends 0 status
	says "loaded, patch nothing (klp gc): $UPSTREAM"
	klp_ends 0 gc --dry-run
	says "$UPSTREAM would be removed"
	klp_ends 0 gc
	expect_no_trace $UPSTREAM
}

# stall(arguments) - load a livepatch that has to wait for a task
function stall() {
	load_mod $TARGET
	start_sleeper
	klp_ends "$@"
}

function stalls_and_is_kept() {
	stall 6 load "$(module $BUSY)" --timeout 2s --on-stall keep
	expect_blocked $BUSY 1
	only_waits_for $SLEEPER 0
	klp_ends 11 status --exit-code --stall 1s
	says "VERDICT  transition stalled, 1 task left"
	klp_ends 10 status --exit-code --stall 1h
	klp_ends 0 why
	says "1 of "
	says "$SLEEPER"
	says "(old)"
	if core_is_rust; then
		# The kernel says so itself.
		[[ "$SAID" != *guess* ]] || fail "klp guesses"
		says "sleeps in $TARGET:core_target_busy+"
	else
		says "WHY (guess)"
		says "sleeps in core_target_busy+"
	fi
	klp_ends 0 why --json
	says '"reason": "on_old"'
	klp_ends 14 verify $BUSY
	says "$BUSY is NOT in force"
	# Another one waits for its end, but not for ever.
	klp_ends 7 load "$(module $UPSTREAM)" --timeout 1s
	expect_no_trace $UPSTREAM
	klp_ends 0 reverse
	says "$BUSY is unpatched"
	expect_gone $BUSY
	klp_ends 0 unload $BUSY
	release_sleepers
	expect_end $SLEEPER
	unload_mod $TARGET
}

function stalls_and_is_reversed() {
	stall 5 load "$(module $BUSY)" --timeout 2s --on-stall reverse
	says "was reversed"
	expect_no_trace $BUSY
	expect "answer" 0 "$(target version)"
	release_sleepers
	expect_end $SLEEPER
	unload_mod $TARGET
}

# Without a terminal there is nobody to ask.
function stalls_and_nobody_answers() {
	stall 6 load "$(module $BUSY)" --timeout 1s --on-stall ask
	release_sleepers
	end_transition $BUSY
	expect_end $SLEEPER
	klp_ends 0 unload $BUSY
	unload_mod $TARGET
}

function one_at_a_time() {
	local first

	load_mod $TARGET
	start_sleeper
	"$KLP" load "$(module $BUSY)" &
	first=$!
	expect_soon "transition" '[[ -e "$SYSFS_KLP_DIR/$BUSY/enabled" ]]'
	klp_ends 7 gc
	says "another klp is at work"
	# To look is always possible.
	klp_ends 0 status
	klp_ends 0 load --dry-run "$(module $UPSTREAM)"
	release_sleepers
	expect_end $first || fail "the first one failed"
	expect_end $SLEEPER
	klp_ends 0 unload $BUSY
	unload_mod $TARGET
}

# Whoever waits is not in the way of whoever ends what it waits for.
function somebody_else_reverses() {
	local first

	load_mod $TARGET
	start_sleeper
	"$KLP" load "$(module $BUSY)" &
	first=$!
	expect_soon "transition" '[[ $(klp $BUSY transition) == 1 ]]'
	klp_ends 0 reverse $BUSY
	says "$BUSY is unpatched"
	expect_end $first && fail "the first one did not notice"
	expect_gone $BUSY
	klp_ends 1 reverse
	says "no transition runs"
	klp_ends 0 gc
	expect_no_trace $BUSY
	release_sleepers
	expect_end $SLEEPER
	unload_mod $TARGET
}

# What is forced while it is being enabled can be removed: a task may be in an
# old function, and those stay.
function forced_while_enabled() {
	stall 6 load "$(module $BUSY)" --timeout 1s
	klp_ends 0 force $BUSY --i-accept-no-unload
	says "tasks may be in old functions until they leave them"
	expect_soon "transition is over" '[[ $(klp $BUSY transition) == 0 ]]'
	klp_ends 13 status --exit-code
	says "tasks were moved to $BUSY by force"
	klp_ends 14 verify $BUSY
	says "one may still be in an old function"
	release_sleepers
	expect_end $SLEEPER
	klp_ends 0 unload $BUSY
	expect_no_trace $BUSY
	# The next one is another one.
	klp_ends 0 load "$(module $BUSY)"
	klp_ends 0 status --exit-code
	klp_ends 0 unload $BUSY
	unload_mod $TARGET
}

# A livepatch that was disabled is still there for a moment.
function again_at_once() {
	local i

	klp_ends 0 load "$(module $UPSTREAM)"
	for i in 1 2 3; do
		klp_ends 0 disable $UPSTREAM
		klp_ends 0 load "$(module $UPSTREAM)"
		expect "enabled" 1 "$(klp $UPSTREAM enabled)"
	done
	klp_ends 0 unload $UPSTREAM
}

# It is there, and stays, and is enabled.
function registered() {
	local patch=test_klp_core_param1

	insmod "$(module $patch)" registered=1 || fail "insmod $patch"
	expect "enabled" 0 "$(klp $patch enabled)"
	klp_ends 0 load "$(module $patch)"
	says "$patch is patched after "
	expect "enabled" 1 "$(klp $patch enabled)"
	klp_ends 0 unload $patch
	expect_no_trace $patch
}

# The kernel need not be able to unpack it, and its name does not matter.
function packed() {
	gzip -c "$(module $UPSTREAM)" > "$CORE_TMP/packed.ko"
	klp_ends 0 load "$CORE_TMP/packed.ko"
	klp_ends 0 unload $UPSTREAM
}

# The kernel takes what was written into it, unless it was signed before.
function labelled() {
	local file="$CORE_TMP/labelled.ko"

	cp "$(module $UPSTREAM)" "$file"
	if tail -c 28 "$file" | grep -aq "~Module signature appended~"; then
		klp_ends 4 label "$file" --fix CVE-0000-0001
		says "it is signed"
		return
	fi
	klp_ends 0 label "$file" --fix CVE-0000-0001 --replace N
	klp_ends 0 check "$file"
	klp_ends 0 load "$file"
	expect "enabled" 1 "$(klp $UPSTREAM enabled)"
	klp_ends 0 info "$file"
	says "CVE-0000-0001"
	klp_ends 0 unload $UPSTREAM
}

# It does not wait for anything, and removes nothing.
function does_not_wait() {
	stall 0 load "$(module $BUSY)" --no-wait
	says "$BUSY is being patched"
	expect_blocked $BUSY 1
	klp_ends 2 unload $BUSY --no-wait
	klp_ends 0 disable $BUSY --no-wait
	says "$BUSY is being unpatched"
	expect_gone $BUSY
	klp_ends 0 unload $BUSY
	release_sleepers
	expect_end $SLEEPER
	unload_mod $TARGET
}

function what_is_replaced_goes() {
	load_mod $TARGET
	klp_ends 0 load "$(module ${REPLACE}1)"
	klp_ends 0 load "$(module ${REPLACE}2)"
	says "removed module ${REPLACE}1"
	expect_no_trace ${REPLACE}1
	klp_ends 0 load "$(module ${REPLACE}1)" --keep-replaced
	expect_gone ${REPLACE}2
	[[ -d /sys/module/${REPLACE}2 ]] || fail "the replaced module is gone"
	expect_soon "its module is not held" '[[ $(cat /sys/module/${REPLACE}2/refcnt) -eq 0 ]]'
	klp_ends 0 unload ${REPLACE}2
	klp_ends 0 unload ${REPLACE}1
	unload_mod $TARGET
}

# As at boot, of which there is one here: a guard of another boot says that that
# one did not end well.
function loaded_at_boot() {
	local guard=/var/lib/klp/guard/$UPSTREAM before
	local bad=/var/lib/klp/guard/test_klp_bad

	before=$(cat /proc/sys/kernel/random/boot_id)
	load_mod $TARGET
	klp_ends 0 install "$(module $UPSTREAM)"
	klp_ends 0 install "$(module ${REPLACE}1)"
	klp_ends 12 status --exit-code
	says "${REPLACE}1 is installed, but not loaded"
	klp_ends 0 load --all --boot
	klp_ends 0 status --exit-code
	expect "guard" "$before" "$(cat $guard)"
	# Whoever starts the service again changes nothing.
	klp_ends 0 load --all --boot
	says "$UPSTREAM is loaded already"
	klp_ends 0 guard --settle
	says "$UPSTREAM has not done any harm"
	[[ ! -e $guard ]] || fail "the guard is still there"

	klp_ends 0 unload $UPSTREAM
	echo "another boot" > $guard
	klp_ends 12 load --all --boot
	says "$UPSTREAM is not loaded: a boot that had loaded it did not end well"
	expect_no_trace $UPSTREAM
	klp_ends 12 status --exit-code
	klp_ends 0 guard --clear $UPSTREAM
	klp_ends 0 load --all --boot
	klp_ends 0 guard --end
	[[ ! -e $guard ]] || fail "the guard is still there"
	# In an initramfs there is no disk that one could be on.
	klp_ends 0 unload $UPSTREAM
	klp_ends 0 load --all --boot --initrd
	expect "enabled" 1 "$(klp $UPSTREAM enabled)"
	[[ ! -e $guard ]] || fail "there is a guard in an initramfs"

	# What is refused has not crashed anything.
	klp_ends 0 uninstall ${REPLACE}1
	klp_ends 0 install "$(module test_klp_bad)"
	klp_ends 1 load --all --boot
	[[ ! -e $bad ]] || fail "there is a guard of what was refused"
	klp_ends 0 uninstall test_klp_bad
	klp_ends 0 uninstall $UPSTREAM
	klp_ends 0 unload ${REPLACE}1
	klp_ends 0 unload $UPSTREAM
	unload_mod $TARGET
}

function what_is_refused() {
	klp_ends 4 load "$(module $TARGET)"
	says "it is a module, but no livepatch"
	expect_no_trace $TARGET
	echo "no module" > "$CORE_TMP/text.ko"
	klp_ends 4 load "$CORE_TMP/text.ko"
	says "is no kernel module"
	klp_ends 3 load "$CORE_TMP/nothing.ko"
	klp_ends 3 unload nothing
	klp_ends 3 disable nothing
	klp_ends 1 reverse
	says "no transition runs"
	klp_ends 2 force nothing
	# What the kernel itself refuses, with its own words.
	klp_ends 1 load "$(module test_klp_bad)"
	says "kernel: test_klp_bad: "
	expect_no_trace test_klp_bad
}

# end_with(module) - whatever has become of it
function end_with() {
	local name=$1

	[[ -e "$SYSFS_KLP_DIR/$name" ]] && end_transition $name
	if [[ $(klp $name enabled 2> /dev/null) == 1 ]]; then
		disable_lp $name
	fi
	if [[ -d /sys/module/$name ]]; then
		expect_soon "$name is not held" 'rmmod '$name' 2> /dev/null'
	fi
}

# agree(module) - what klp says of a file is what the kernel does with it. Where
# klp does not know what is in it, it says so. Sets KNOWN, how many it does know.
function agree() {
	local name=$1 said code loaded

	said=$("$KLP" check "$(module $name)" 2>&1)
	code=$?
	[[ "$said" != *"  ok    functions"* ]] || : $((KNOWN++))
	if insmod "$(module $name)" 2> /dev/null; then
		loaded=1
	else
		loaded=0
	fi
	log "% klp check $name: $code, loaded: $loaded"
	case $code,$loaded in
	4,1)
		fail "klp says that $name will be refused: $said"
		;;
	0,0)
		[[ "$said" == *"  ??    functions"* ]] ||
			fail "klp says that $name can be loaded: $said"
		;;
	0,1|4,0)
		;;
	*)
		fail "klp check $name: exit code $code"
		;;
	esac
	end_with $name
}

# livepatches() - the names of all test modules that are livepatches
function livepatches() {
	local file

	for file in test_modules/*.ko; do
		"$KLP" info "$file" | grep -q "^livepatch  *yes" && basename "$file" .ko
	done
}

function check_is_right() {
	local all=$(livepatches) name

	KNOWN=0
	[[ $(wc -w <<< "$all") -gt 30 ]] || fail "where are the livepatches? $all"
	for name in $all; do
		agree $name
	done
	[[ $KNOWN -gt 20 ]] || fail "klp knows the functions of $KNOWN only"
	# It is not marked as one, and refused for it.
	agree test_klp_bad_unmarked
	# And those whose module is there.
	load_mod $TARGET
	for name in $BUSY ${REPLACE}1 test_klp_core_stack1 test_klp_core_alias1; do
		klp_ends 0 check "$(module $name)"
		agree $name
	done
	load_mod test_klp_core_tracer kind=ipmodify functions=core_target_version
	klp_ends 4 check "$(module $BUSY)"
	says "another program redirects its calls"
	agree $BUSY
	klp_ends 4 load --check fail "$(module $BUSY)"
	says "klp check: conflicts: $TARGET:core_target_version"
	# The kernel itself, and what klp makes of it.
	klp_ends 7 load "$(module $BUSY)"
	says "klp check: conflicts: $TARGET:core_target_version"
	unload_mod test_klp_core_tracer
	klp_ends 0 load --check strict "$(module $BUSY)"
	klp_ends 0 unload $BUSY
	unload_mod $TARGET
}

function called_as_kpatch() {
	local kpatch="$CORE_TMP/kpatch"

	ln -s "$KLP" "$kpatch"
	KLP=$kpatch
	klp_ends 0 load "$(module $UPSTREAM)"
	says "loading patch module: $(module $UPSTREAM)"
	klp_ends 0 list
	says "Loaded patch modules:
$UPSTREAM [enabled]

Installed patch modules:"
	klp_ends 0 load "$(module $UPSTREAM)"
	says "module named $UPSTREAM already loaded and enabled"
	klp_ends 0 unload $UPSTREAM
	says "disabling patch module: $UPSTREAM"
	says "unloading patch module: $UPSTREAM"
	expect_no_trace $UPSTREAM
	klp_ends 1 unload $UPSTREAM
	says "kpatch: failed to disable module $UPSTREAM"
}

core_setup $((17 + $(core_is_rust && echo 1 || echo 0)))
core_case "load, look, load again, unload" load_and_unload
core_case "a module without its livepatch is collected" disabled_and_collected
core_case "a stall that is kept: why, reverse" stalls_and_is_kept
core_case "a stall that is reversed leaves nothing" stalls_and_is_reversed
core_case "a stall, and nobody to ask" stalls_and_nobody_answers
core_case "one at a time" one_at_a_time
core_case "somebody else reverses" somebody_else_reverses
core_case "forced while it was being enabled" forced_while_enabled
core_case "again at once" again_at_once
core_case "a file that is packed" packed
core_case "a file that was labelled" labelled
core_case "without waiting" does_not_wait
core_case "the module of what is replaced goes" what_is_replaced_goes
core_case "loaded at boot" loaded_at_boot
core_case "what is refused" what_is_refused
core_case "check says what the kernel then says" check_is_right
core_case "called as kpatch" called_as_kpatch
# Only the Rust core has registered livepatches.
if core_is_rust; then
	core_case "one that is registered is enabled" registered
fi
core_finish
