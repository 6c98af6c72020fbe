# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The verbs that run tests, and what their suites share. The suites: suites/*.sh, rust.sh.

test_verb() {
	report_start
	test_prepare
	if ! arch_is_native; then
		test_arch
	elif [ -n "$KLP_FLAVOUR" ]; then
		test_kernel "$(kernel_wanted)"
	else
		test_all
	fi
	report_finish
}

test_all() {
	test_suite model suite_model
	test_suite protocol suite_protocol
	test_suite loom suite_loom
	test_suite klp suite_klp
	test_suite kunit suite_kunit
	test_suite compile-fail suite_compile_fail
	test_suite vm suite_vm "$KLP_CORE"
	# The examples are about the API, which is the same on both cores.
	[ "$KLP_CORE" = c ] || test_suite doctest suite_doctest
	[ "$KLP_CORE" = c ] || test_suite kunit-x86 suite_kunit_x86
}

# On another architecture: what runs in its VM. All else is the same everywhere.
test_arch() {
	# An emulator takes its time.
	[ "$VM_LIMIT" -ge 1500 ] || VM_LIMIT=1500
	[ "$KLP_CORE" = c ] || test_suite "kunit-${KLP_ARCH/x86_64/x86}" suite_kunit_core "$(kernel_kunit)"
	test_suite vm suite_vm "$(kernel_wanted)"
}

# test_kernel NAME: all to which a kernel's configuration may make a difference.
test_kernel() {
	KLP_ONLY='' test_suite build kernel_all "$1"
	! grep -q "^build	fail" -- "$RESULTS" || return 0
	KERNELS_BUILT+=("$1")
	# Flavours and checkers slow the guest down.
	[ "$VM_LIMIT" -ge 1500 ] || VM_LIMIT=1500
	# What fails is the same everywhere; what becomes of it is looked at here.
	[ "$1" != debug-failslab ] ||
		local KLP_ONLY=${KLP_ONLY:-"kunit-x86 test-core-nomem.sh test-core-register.sh"}
	[ "$(kernel_core "$1")" = c ] || test_suite kunit-x86 suite_kunit_core "$1"
	test_suite vm suite_vm "$1"
}

test_flavours_verb() {
	local core=
	[ "$KLP_CORE" = rust ] || core=$KLP_CORE-
	test_matrix "${FLAVOURS[@]/#/$core}"
}

test_debug_verb() {
	[[ -z $KLP_PART || " ${DEBUG_PARTS[*]} " == *" $KLP_PART "* ]] ||
		die "PART=$KLP_PART: test-debug has no such part, only: ${DEBUG_PARTS[*]}"
	[ "$KLP_CORE" = rust ] || die "test-debug: only for CORE=rust"
	KLP_MEM=${KLP_MEM:-2G}
	if [ -n "$KLP_PART" ]; then
		test_matrix "debug-$KLP_PART"
	else
		test_matrix "${DEBUG_PARTS[@]/#/debug-}"
	fi
}

# test_matrix KERNEL...: the tests on each, with results in a folder of its own; then one table.
test_matrix() {
	local out=$OUT name n=0
	report_start
	test_prepare
	for name; do
		n=$((n + 1))
		say
		say "==== $name ($n of $#)"
		OUT=$out/$name
		report_start
		test_kernel "$name"
		report_finish || true
	done
	OUT=$out
	report_matrix "$@"
}

# The VM's tests on each architecture, and on some with another CPU or page size; then one table.
# Both cores, unless CORE= was given: what one core fails there and the other one does not, is its own.
test_all_verb() {
	local out=$OUT row core n=0
	local -a cores=(rust c) done=()
	[ -z "${KLP_CORE_GIVEN:-}" ] || cores=("$KLP_CORE")
	report_start
	test_prepare
	for row in "${ARCH_ROWS[@]}"; do
		for core in "${cores[@]}"; do
			KLP_CORE=$core
			n=$((n + 1))
			say
			say "==== $row, $core ($n of $((${#ARCH_ROWS[@]} * ${#cores[@]})))"
			arch_row "$row"
			if ! arch_can_run; then
				say "left out: this machine has no $ARCH_QEMU of version $QEMU_MIN, and no apt-get to have it by"
				continue
			fi
			OUT=$out/$row-$core
			report_start
			KLP_ONLY='' test_suite qemu deps_qemu
			KLP_ONLY='' test_suite build kernel_all "$(kernel_wanted)"
			test_arch
			report_finish || true
			done+=("$row-$core")
		done
	done
	arch_row x86_64
	OUT=$out
	report_matrix "${done[@]}"
}

# Whatever stops this stops the run, but the last line is printed all the same.
test_prepare() {
	local rc
	set +e
	( set -e; deps_all; base_all; tree_all )
	rc=$?
	set -e
	if [ "$rc" -ne 0 ]; then
		report prepare fail 0 "packages, base tree, edits" "see above"
		report_finish || exit 1
	fi
	# Once more for the variables: everything is there, so this does nothing else.
	deps_environment
	base_all
}

# test_suite NAME FUNCTION...: a suite that cannot even be built is a failed test,
# and the others run all the same.
test_suite() {
	local name=$1 start=$SECONDS rc
	shift
	[ -z "${KLP_ONLY:-}" ] || suite_wanted "$name" || return 0
	say
	say "== $name"
	set +e
	( set -e; "$@" )
	rc=$?
	set -e
	[ "$rc" -eq 0 ] || report "$name" fail 0 "the suite runs to its end" "it stopped, see above"
	[ "$name" = vm ] || report_time "$name" $((SECONDS - start))
}

# KLP_ONLY: suite names, or names of VM scripts (which are the suite vm).
suite_wanted() {
	local w
	for w in $KLP_ONLY; do
		[ "$w" != "$1" ] || return 0
		[ "$1" != vm ] || [[ $w != *.sh ]] || return 0
	done
	return 1
}

# kernel_log_clean SUITE LOG: a test of its own: nothing in there that no healthy kernel prints.
kernel_log_clean() {
	local splats
	splats=$(vm_splats "$2")
	if [ -n "$splats" ]; then
		printf '%s\n' "$splats" | sed 's/^/    | /'
		vm_hint "$2"
		report "$1" fail 0 "the kernel's log is clean (${2##*/})" "$(head -n 1 <<<"$splats")"
	else
		report "$1" pass 0 "the kernel's log is clean (${2##*/})"
	fi
}
