# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The verb test-arch: the core is compiled for all architectures, and one of the others boots, with the
# KUnit tests and some scripts: which one is derived from the commit, so that each has its turn. The verb
# test-ci does that after all tests on this one.

# Enough to see that calls, stacks, modules and relocations are right there: KUnit has many more.
ARCH_SCRIPTS="test-syscall.sh test-livepatch.sh test-callbacks.sh test-core-reloc.sh"

test_arch_verb() {
	report_start
	test_prepare
	suite_arch
	report_finish
}

test_ci_verb() {
	report_start
	test_prepare
	test_all
	suite_arch
	report_finish
}

suite_arch() {
	local arch turn
	turn=$(arch_turn)
	say
	say "the other architectures, in turn: $turn"
	for arch in "${ARCHES[@]:1}"; do
		[ "$KLP_CORE" = rust ] || break
		arch_set "$arch"
		KLP_ONLY='' test_suite "$arch core" arch_compile
	done
	arch_set "$turn"
	KLP_ONLY='' test_suite qemu deps_qemu
	KLP_ONLY="kunit-$turn $ARCH_SCRIPTS" test_arch
	arch_set x86_64
}

arch_compile() {
	local o
	o=$(kernel_dir rust)
	kernel_configured rust
	step "compile the core ($KLP_ARCH)" "${o##*/}" locked arch_compile_core "$o"
	report "$KLP_ARCH core" pass 0 "it compiles"
}

arch_compile_core() {
	kmake "$1" prepare
	kmake "$1" kernel/livepatch/
}

# The one that was asked for, or by the commit, or by the day where there is none.
arch_turn() {
	local number
	if ! arch_is_native; then
		printf '%s\n' "$KLP_ARCH"
		return
	fi
	number=$(git -C "$REPO" rev-parse --short=4 HEAD 2>/dev/null) || number=$(date +%j | sed 's/^0*//')
	printf '%s\n' "${ARCHES[$((16#${number:0:4} % (${#ARCHES[@]} - 1) + 1))]}"
}
