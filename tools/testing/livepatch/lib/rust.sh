# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The suites of the Rust API: mistakes that must not compile, and the examples in its
# documentation.

# Each case is a livepatch with a mistake, compiled as the samples of this build are.
suite_compile_fail() {
	local o status name remark n=0
	kernel_all "$KLP_CORE"
	o=$(kernel_dir "$KLP_CORE")
	while IFS=$'\t' read -r status name remark; do
		n=$((n + 1))
		report compile-fail "$status" 0 "$name" "$remark"
		[ "$status" = pass ] || printf '    %s: %s\n' "$name" "$remark"
	done < <(
		"$KLP_DIR/compile-fail/run.py" "$o" "$KLP_CORE" "$KLP_DIR"/compile-fail/*.rs
		# What the page says about all this.
		"$KLP_DIR/compile-fail/check-doc.py" "$TREE"
	)
	printf '    %d cases\n' "$n"
	[ "$n" -gt 0 ] || report compile-fail fail 0 "compile-fail/run.py" "no case ran"
}

# UML has no livepatching, so the examples of kernel::livepatch are not in that kernel: they run
# in one for x86_64, by kunit.py as well. It asks for KVM first, which may hang the guest.
suite_doctest() {
	local o tcg=$CACHE/tcg
	kernel_all doctest
	o=$(kernel_dir doctest)
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
	PATH=$tcg:$PATH kunit_run doctest "$o" 'kernel_(livepatch(_[a-z]+)?|time|workqueue)_rs_' \
		--arch=x86_64 'rust_doctests_kernel*'
}
