#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The samples in Rust do what their originals in C do. Each case runs with the
# one and with the other and expects the same of both; those that need more than
# one module run with all languages of these, as far as they know each other.
#
# The samples are taken from $KLP_SAMPLES, or else from where modules are
# installed. test_modules/ has the Rust modules that are patched by the names
# that the originals have, since a livepatch in C knows no other ones.

. $(dirname $0)/functions.sh
. $(dirname $0)/core-functions.sh

KLP_SAMPLES=${KLP_SAMPLES:-/klp/samples}
SAMPLES="sample callbacks_demo callbacks_mod callbacks_busymod shadow_mod
	 shadow_fix1 shadow_fix2"
# Only the Rust core has registered livepatches.
if core_is_rust; then
	SAMPLES+=" lifecycle"
fi
ENODEV="No such device"

# sample_file(module) - where it is. c:NAME is the original, rust:NAME the twin,
# and rust:=NAME the twin by the original's name.
function sample_file() {
	local name="${1#*:}" file

	case "$1" in
	rust:=*)	echo "test_modules/livepatch_${name#=}.ko"; return ;;
	rust:*)		name=rust_livepatch_$name ;;
	c:*)		name=livepatch-${name//_/-} ;;
	esac
	file="$KLP_SAMPLES/$name.ko"
	[[ -e "$file" ]] || file=$(modinfo -n "$name" 2> /dev/null)
	echo "$file"
}

# sample_name(module) - what the kernel calls it
function sample_name() {
	case "$1" in
	rust:=*)	echo "livepatch_${1#rust:=}" ;;
	rust:*)		echo "rust_livepatch_${1#rust:}" ;;
	c:*)		echo "livepatch_${1#c:}" ;;
	esac
}

# sample_says(module) - what its messages begin with. The twin by another name
# is the same program.
function sample_says() {
	case "$1" in
	rust:*)	echo "rust_livepatch_${1##*[:=]}" ;;
	c:*)	echo "livepatch_${1#c:}" ;;
	esac
}

# load(module, parameters)
function load() {
	local module="$1"; shift
	local name=$(sample_name "$module") found

	found="% insmod $name $*"
	log "${found%% }"
	found=$(insmod "$(sample_file "$module")" "$@" 2>&1) ||
		fail "insmod $name: $found"
}

# load_patch(module) - and wait for the end of its transition
function load_patch() {
	load "$@"
	end_transition "$(sample_name "$1")"
}

# unload(module)
function unload() {
	local name=$(sample_name "$1") found

	expect_soon "$name unused" '[[ $(cat /sys/module/'"$name"'/refcnt) -eq 0 ]]'
	log "% rmmod $name"
	found=$(rmmod "$name" 2>&1) || fail "rmmod $name: $found"
}

# disable(module) - and wait until the patch is gone
function disable() {
	local name=$(sample_name "$1")

	write "$SYSFS_KLP_DIR/$name/enabled" 0
	expect_gone "$name"
}

# remove_samples() - those that the case has not removed, in any state
function remove_samples() {
	local path sample name

	for path in $(ls -td "$SYSFS_KLP_DIR"/*/); do
		loop_until '[[ $(cat "$SYSFS_KLP_DIR"/*/transition) != *1* ]]'
		[[ $(cat "$path/enabled") == 1 ]] && echo 0 > "$path/enabled"
		loop_until '[[ ! -e "$path" || $(cat "$path/transition") == 0 ]]'
	done
	for sample in $SAMPLES; do
		for name in "livepatch_$sample" "rust_livepatch_$sample"; do
			[[ ! -e "/sys/module/$name" ]] || loop_until 'rmmod $name'
		done
	done
} &> /dev/null

# sample_case(description, function, arguments)
function sample_case() {
	local description="$1"; shift

	core_case "$description" with_samples "$@"
}

function with_samples() {
	trap remove_samples EXIT
	start_log
	"$@"
}

# said(prefix) - the messages since start_log() that begin like this, without
# what is different each time
function said() {
	since_start |
		sed -e 's/^\[[ 0-9.]*\] //' -e 's/^\[[ ]*[CT][0-9]*\] //' |
		grep -E "^($1): " |
		grep -v -e 'tainting kernel' -e '^livepatch: signaling remaining tasks$'
}

# expect_said(prefixes, lines)
function expect_said() {
	expect_same "messages" "$2" "$(said "$1")"
}

# ----- sample

function sample() {
	local module="$1"
	local name=$(sample_name "$module")

	load_patch "$module"
	expect "enabled" 1 "$(klp "$name" enabled)"
	[[ -d "$SYSFS_KLP_DIR/$name/vmlinux/cmdline_proc_show,1" ]] ||
		fail "no directory of the function"
	expect /proc/cmdline "$name: this has been live patched" \
		"$name: $(cat /proc/cmdline)"
	disable "$module"
	expect /proc/cmdline "$CMDLINE" "$(cat /proc/cmdline)"
	unload "$module"

	expect_said livepatch "$(says_enabling "$name"
		says_enabled "$name"
		says_disabling "$name"
		says_disabled "$name")"
}

# ----- register, enable, disable, unregister

# This needs the core in Rust.
function lifecycle() {
	local module="$1" round
	local name=$(sample_name "$module")

	load "$module"
	expect "enabled" 0 "$(klp "$name" enabled)"
	expect /proc/cmdline "$CMDLINE" "$(cat /proc/cmdline)"
	for round in 1 2 3; do
		write "$SYSFS_KLP_DIR/$name/enabled" 1
		end_transition "$name"
		expect /proc/cmdline "this has been live patched" \
			"$(cat /proc/cmdline)"
		expect_in_use "$name"
		write "$SYSFS_KLP_DIR/$name/enabled" 0
		end_transition "$name"
		expect /proc/cmdline "$CMDLINE" "$(cat /proc/cmdline)"
	done
	unload "$module"
	expect_gone "$name"
}

# ----- callbacks

LIVE="[MODULE_STATE_LIVE] Normal state"
COMING="[MODULE_STATE_COMING] Full formed, running module_init"
GOING="[MODULE_STATE_GOING] Going away"

# callback(demo, callback, modules and states...) - its messages, for vmlinux first
function callback() {
	local demo=$(sample_says "$1") callback="$2"; shift 2

	echo "$demo: ${callback}_callback: vmlinux"
	[[ $# -eq 0 ]] || callback_of "$demo" "$callback" "$@"
}

# callback_of(demo, callback, modules and states...) - for modules only
function callback_of() {
	local demo="$1" callback="$2"; shift 2

	while [[ $# -gt 0 ]]; do
		echo "$demo: ${callback}_callback: $1 -> $2"
		shift 2
	done
}

function callbacks_module_first() {
	local demo="$1" mod="$2"
	local name=$(sample_name "$mod")

	load "$mod"
	load_patch "$demo"
	disable "$demo"
	unload "$demo"
	unload "$mod"

	expect_said "$(sample_says "$demo")|$(sample_says "$mod")" \
"$(sample_says "$mod"): livepatch_callbacks_mod_init
$(callback "$demo" pre_patch "$name" "$LIVE")
$(callback "$demo" post_patch "$name" "$LIVE")
$(callback "$demo" pre_unpatch "$name" "$LIVE")
$(callback "$demo" post_unpatch "$name" "$LIVE")
$(sample_says "$mod"): livepatch_callbacks_mod_exit"
}

function callbacks_module_comes_and_goes() {
	local demo="$1" mod="$2"
	local name=$(sample_name "$mod") says=$(sample_says "$demo")

	load_patch "$demo"
	load "$mod"
	unload "$mod"
	disable "$demo"
	unload "$demo"

	expect_said "$says|$(sample_says "$mod")" \
"$(callback "$demo" pre_patch)
$(callback "$demo" post_patch)
$(callback_of "$says" pre_patch "$name" "$COMING")
$(callback_of "$says" post_patch "$name" "$COMING")
$(sample_says "$mod"): livepatch_callbacks_mod_init
$(sample_says "$mod"): livepatch_callbacks_mod_exit
$(callback_of "$says" pre_unpatch "$name" "$GOING")
$(callback_of "$says" post_unpatch "$name" "$GOING")
$(callback "$demo" pre_unpatch)
$(callback "$demo" post_unpatch)"
}

function callbacks_refuse() {
	local demo="$1" found
	local name=$(sample_name "$demo")

	found=$(insmod "$(sample_file "$demo")" pre_patch_ret=-19 2>&1) &&
		fail "$name is loaded"
	[[ "$found" == *": $ENODEV" ]] || fail "insmod $name: $found"
	expect_no_trace "$name"
	expect_said "$(sample_says "$demo")|livepatch" \
"livepatch: enabling patch '$name'
livepatch: '$name': initializing patching transition
$(sample_says "$demo"): pre_patch_callback: vmlinux
livepatch: pre-patch callback failed for object 'vmlinux'
livepatch: failed to enable patch '$name'
livepatch: '$name': canceling patching transition, going to unpatch
livepatch: '$name': completing unpatching transition
livepatch: '$name': unpatching complete"
}

# The function is busy: the transition waits for it. It is so for some seconds
# only; where that is over before the transition is looked at, for longer the
# next time.
function callbacks_busy() {
	local demo="$1" mod="$2" seconds found ended
	local name=$(sample_name "$mod") says=$(sample_says "$mod")
	local patch=$(sample_name "$demo")
	local both="$(sample_says "$demo")|$says"

	for seconds in 4 12 36; do
		start_log
		load "$mod" sleep_secs=$seconds
		expect_soon "busy" 'said '"$says"' | grep -q sleeping'
		load "$demo"
		found="$(klp "$patch" transition) $(klp "$patch" enabled)"
		ended=$(said "$says" | grep "_work_func exit")
		end_transition "$patch"
		disable "$demo"
		unload "$demo"
		unload "$mod"
		[[ -n "$ended" ]] || break
	done

	expect "transition and enabled of $patch" "1 1" "$found"
	expect_said "$both" \
"$says: livepatch_callbacks_mod_init
$says: busymod_work_func, sleeping $seconds seconds ...
$(callback "$demo" pre_patch "$name" "$LIVE")
$says: busymod_work_func exit
$(callback "$demo" post_patch "$name" "$LIVE")
$(callback "$demo" pre_unpatch "$name" "$LIVE")
$(callback "$demo" post_unpatch "$name" "$LIVE")
$says: livepatch_callbacks_mod_exit"
}

# The patch is there first: its function runs, not that of the module.
function callbacks_busy_patched() {
	local demo="$1" mod="$2"

	load_patch "$demo"
	load "$mod" sleep_secs=60
	expect_soon "patched function" \
		'said '"$(sample_says "$demo")"' | grep -q "patched_work_func"'
	disable "$demo"
	unload "$demo"
	unload "$mod"
	if said "$(sample_says "$mod")" | grep busymod_work_func; then
		fail "the function of the module has run"
	fi
}

# ----- shadow variables

# dummies() - all that was said about them, in one form: "FUNCTION ADDRESS WORDS"
function dummies() {
	said '((rust_)?livepatch_shadow_[a-z0-9]*: )?[a-z0-9_]*' |
		sed -E -n -e 's/^(rust_)?livepatch_shadow_[a-z0-9]*: //' \
			-e 's/^([a-z0-9_]*): dummy @ (0x)?([0-9a-f]*)[, ]*/\1 \3 /p'
}

function shadow() {
	local mod="$1" fix1="$2" fix2="$3" name
	local name1=$(sample_name "$fix1") name2=$(sample_name "$fix2")

	load "$mod"
	# One that is older than all patches.
	expect_soon "first dummy" 'dummies | grep -q "^dummy_alloc "'
	load_patch "$fix1"
	expect_soon "dummy of fix1" 'dummies | grep -q "^livepatch_fix1_dummy_alloc "'
	load_patch "$fix2"
	expect_soon "a dummy that leaks" \
		'dummies | grep -q "^livepatch_fix2_dummy_free .*leaked!"'
	expect_soon "a leak prevented" \
		'dummies | grep -q "^livepatch_fix2_dummy_leak_dtor "'
	expect_soon "a counter" \
		'dummies | grep -q "^livepatch_fix2_dummy_free .* counter = [4-9]"'

	# The later one first. One that ran the other way would not be allowed to.
	disable "$fix2"
	disable "$fix1"
	unload "$fix2"
	unload "$fix1"
	unload "$mod"
	dummies > "$CORE_TMP/dummies"
	cat "$CORE_TMP/dummies"

	# What is freed was allocated before, once. Memory is used again, so the
	# address alone is not enough.
	awk '
		{ function_of = $1; d = $2 }
		# If fix1 has made one at this address before, and it was freed when
		# fix1 was just being disabled, the variable of that one is still there.
		function_of == "dummy_alloc" { old[d] = 1 }
		function_of == "livepatch_fix1_dummy_alloc" { old[d] = 0; fixed[d] = 1; n++ }
		/leak_dtor/ && !fixed[d] { print "no leak to prevent: " $0; bad = 1 }
		/leak_dtor/ { fixed[d] = 0; prevented++ }
		/leaked!/ && !old[d] { print "not a leak: " $0; bad = 1 }
		/counter =/ { counted++ }
		END {
			# None remains: fix1 frees them when it is disabled.
			if (prevented != n) { print n " saved, " prevented " prevented"; bad = 1 }
			if (!counted) { print "nothing counted"; bad = 1 }
			exit bad
		}' "$CORE_TMP/dummies" || fail "the dummies are not as they should be"
}

# -----

for name in $SAMPLES; do
	for language in c rust; do
		file=$(sample_file "$language:$name")
		[[ -e "$file" ]] || skip "no module for $language:$name"
	done
done
for name in callbacks_mod callbacks_busymod shadow_mod; do
	[[ -e $(sample_file "rust:=$name") ]] ||
		skip "no test_modules/livepatch_$name.ko: built with CONFIG_SAMPLE_LIVEPATCH_RUST"
done

CASES=32
if core_is_rust; then
	CASES=34
fi
core_setup $CASES

sample_case "sample, C" sample c:sample
sample_case "sample, Rust" sample rust:sample
if core_is_rust; then
	sample_case "four operations, C" lifecycle c:lifecycle
	sample_case "four operations, Rust" lifecycle rust:lifecycle
fi

for demo in c rust; do
	sample_case "callbacks, $demo: one that refuses" callbacks_refuse $demo:callbacks_demo
	# The demo in C knows the name of the original only.
	for mod in c:@ rust:=@ rust:@; do
		[[ "$demo $mod" != "c rust:@" ]] || continue
		idle=${mod/@/callbacks_mod}
		busy=${mod/@/callbacks_busymod}
		sample_case "callbacks, $demo, for $idle, which is there" \
			callbacks_module_first $demo:callbacks_demo $idle
		sample_case "callbacks, $demo, for $idle, which comes and goes" \
			callbacks_module_comes_and_goes $demo:callbacks_demo $idle
		sample_case "callbacks, $demo, for $busy, which is busy" \
			callbacks_busy $demo:callbacks_demo $busy
		sample_case "callbacks, $demo, for $busy, patched before it is" \
			callbacks_busy_patched $demo:callbacks_demo $busy
	done
done

# module, fix1, fix2
while read -r mod fix1 fix2; do
	sample_case "shadow variables, $fix1 and $fix2 on ${mod/@/shadow_mod}" \
		shadow ${mod/@/shadow_mod} $fix1:shadow_fix1 $fix2:shadow_fix2
done <<END
c:@	c	c
c:@	c	rust
c:@	rust	c
c:@	rust	rust
rust:=@	c	c
rust:=@	c	rust
rust:=@	rust	c
rust:@	rust	rust
END
core_finish
