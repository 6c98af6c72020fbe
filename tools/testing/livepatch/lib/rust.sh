# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The suites of the Rust API: mistakes that must not compile, and the examples in its
# documentation.

# Each case is a livepatch with a mistake, compiled as the samples of this build are.
suite_compile_fail() {
	local o out case core ran wanted=0
	kernel_all "$KLP_CORE"
	o=$(kernel_dir "$KLP_CORE")
	out=$(mktemp)
	for case in "$KLP_DIR"/compile-fail/*.rs; do
		core=$(sed -n 's|^// core: ||p' "$case")
		[ "${core:-$KLP_CORE}" != "$KLP_CORE" ] || wanted=$((wanted + 1))
	done
	compile_fail_cases run.py "$o" "$KLP_CORE" "$KLP_DIR"/compile-fail/*.rs
	ran=$(wc -l <"$out")
	printf '    %d cases\n' "$ran"
	[ "$ran" -eq "$wanted" ] ||
		report compile-fail fail 0 compile-fail/run.py "$ran cases ran, of $wanted"
	# What the page says about all this.
	compile_fail_cases check-doc.py "$TREE"
	rm -f -- "$out"
}

# compile_fail_cases SCRIPT ARGUMENTS...: reports the lines that it prints, which stay in $out
compile_fail_cases() {
	local script=$1 status name remark rc=0
	shift
	"$KLP_DIR/compile-fail/$script" "$@" >"$out" || rc=$?
	while IFS=$'\t' read -r status name remark; do
		report compile-fail "$status" 0 "$name" "$remark"
		[ "$status" = pass ] || printf '    %s: %s\n' "$name" "$remark"
	done <"$out"
	[ "$rc" -eq 0 ] || grep -q '^fail' "$out" ||
		report compile-fail fail 0 "compile-fail/$script" "exit status $rc"
}

# UML has no livepatching, so the examples of kernel::livepatch are not in that kernel: they run
# in one for x86_64, by kunit.py as well.
suite_doctest() {
	kunit_x86_run doctest 'kernel_(livepatch(_[a-z]+)?|time|workqueue)_rs_' 'rust_doctests_kernel*' \
		doctest
}

# The core itself, with real functions: the same kernel has these tests, too.
suite_kunit_x86() {
	local log=$OUT/log/fault-points.log rc=0 name
	"$KLP_DIR/fault-points.py" >"$log" || rc=$?
	while IFS=$'\t' read -r _ name; do
		printf '    %s\n' "$name"
		report kunit-x86 fail 0 "fault-points.py" "$name"
	done < <(grep '^fail' -- "$log")
	if [ "$rc" -eq 0 ]; then
		report kunit-x86 pass 0 "fault points at all steps of register and enable"
	elif ! grep -q '^fail' -- "$log"; then
		report kunit-x86 fail 0 "fault-points.py" "exit status $rc"
	fi
	suite_kunit_core doctest
	frames_of kunit-x86 "$(kernel_dir doctest)"
}

# frames_of SUITE O: how much stack the functions of the core take.
frames_of() {
	local suite=$1 log=$OUT/log/frames.log
	if "$KLP_DIR/frames.py" "llvm-objdump$LLVM_SUFFIX" "$2/kernel/livepatch/klp.o" >"$log" 2>&1; then
		report "$suite" pass 0 "functions of the core do with little stack"
	else
		cat -- "$log"
		report "$suite" fail 0 "functions of the core do with little stack" "$(head -n 1 -- "$log")"
	fi
}

# suite_kunit_core KERNEL
suite_kunit_core() {
	if arch_is_native; then
		kunit_x86_run kunit-x86 '^klp_core_' 'klp_core_*' "$1"
	else
		kunit_arch_run "kunit-$KLP_ARCH" '^klp_core_' 'klp_core_*' "$1"
	fi
}

# kunit_arch_run SUITE PATTERN FILTER KERNEL: on the machine that the scripts have there, which is not
# always the one that kunit.py would take.
kunit_arch_run() {
	local o config=$OUT/$1-qemu.py serial=stdio
	local -a more=()
	kernel_only "$4"
	o=$(kernel_dir "$4")
	if [ "${ARCH_SERIALS[0]}" != console ]; then
		serial=null
		more=(-serial stdio)
	fi
	{
		printf 'from ..qemu_config import QemuArchParams\n\nQEMU_ARCH = QemuArchParams(\n'
		printf '\tlinux_arch="%s", kconfig="", qemu_arch="%s", kernel_path="%s",\n' \
			"$KLP_ARCH" "${ARCH_QEMU#qemu-system-}" "$ARCH_IMAGE"
		printf '\tkernel_command_line="console=%s", serial="%s",\n\textra_qemu_params=[\n' "$ARCH_CONSOLE" "$serial"
		printf '\t\t"%s",\n' "${ARCH_MACHINE[@]}" -smp "${KLP_SMP:-2}" "${more[@]}"
		printf '\t])\n'
	} >"$config"
	kunit_run "$1" "$o" "$2" --qemu_config="$config" "$3"
}

# kunit_x86_run SUITE PATTERN FILTER KERNEL: kunit.py asks for KVM first, which may hang the guest.
kunit_x86_run() {
	local o tcg=$CACHE/tcg
	kernel_only "$4"
	o=$(kernel_dir "$4")
	mkdir -p -- "$tcg"
	cat >"$tcg/qemu-system-x86_64" <<-'EOF'
		#!/bin/bash
		# The next one in PATH, without KVM.
		args=()
		for arg; do
			[[ $arg != kvm ]] || arg=tcg
			args+=("$arg")
		done
		PATH=${PATH#*:} exec qemu-system-x86_64 "${args[@]}"
	EOF
	chmod +x -- "$tcg/qemu-system-x86_64"
	# This kernel has no ACPI: its CPUs are in the table that SeaBIOS writes, as in vm_qemu.
	# FLAVOUR=cfi: the scripts have the other one of the two ways to check.
	[[ $4 != cfi ]] || set -- "$@" --kernel_args=cfi=kcfi
	PATH=$tcg:$PATH kunit_run "$1" "$o" "$2" --arch=x86_64 "$3" "${@:5}" \
		--qemu_args="-machine pc,acpi=off -smp 2,sockets=2 -bios bios-256k.bin"
}
