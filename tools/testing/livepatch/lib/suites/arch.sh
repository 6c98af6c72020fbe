# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The verb test-arch: the core is compiled for all architectures, and one of the others boots and
# runs scripts: which one is derived from the commit, so that each has its turn.

# Enough to see that calls, stacks, modules and relocations are right there.
ARCH_SCRIPTS="test-ftrace.sh test-syscall.sh test-sysfs.sh test-livepatch.sh test-callbacks.sh test-shadow-vars.sh test-state.sh test-core-transition.sh test-core-modules.sh test-core-consistency.sh test-core-depth.sh test-core-reloc.sh"

test_arch_verb() {
	report_start
	test_prepare
	suite_arch
	report_finish
}

suite_arch() {
	local arch turn core=$KLP_CORE
	turn=$(arch_turn)
	for arch in "${ARCHES[@]:1}"; do
		[ "$core" = rust ] || break
		arch_set "$arch"
		KLP_ONLY='' test_suite "$arch core" arch_compile
	done
	say "    in turn: $turn"
	arch_set "$turn"
	KLP_ONLY='' test_suite qemu deps_qemu
	KLP_ONLY=$ARCH_SCRIPTS test_suite vm suite_vm "$core"
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

# By the commit, or by the day where there is none.
arch_turn() {
	local number
	number=$(git -C "$REPO" rev-parse --short=4 HEAD 2>/dev/null) || number=$(date +%j | sed 's/^0*//')
	printf '%s\n' "${ARCHES[$((16#$number % (${#ARCHES[@]} - 1) + 1))]}"
}
