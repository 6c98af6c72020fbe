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
		test_suite arch arch_compile
	done
	say "    in turn: $turn"
	arch_set "$turn"
	KLP_ONLY='' test_suite qemu deps_qemu
	KLP_ONLY=$ARCH_SCRIPTS test_suite vm suite_vm "$core"
	arch_set x86_64
}

arch_compile() {
	local o rc
	o=$(kernel_dir rust)
	kernel_configured rust
	set +e
	( step "compile the core ($KLP_ARCH)" "${o##*/}" locked arch_compile_core "$o" )
	rc=$?
	set -e
	if [ "$rc" -eq 0 ]; then
		report arch pass 0 "the core compiles for $KLP_ARCH"
	else
		report arch fail 0 "the core compiles for $KLP_ARCH" "see $LOGS/${o##*/}.log"
	fi
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
