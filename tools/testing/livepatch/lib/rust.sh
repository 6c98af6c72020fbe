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

# UML has no livepatching, so KUnit there does not see these: a kernel of its own runs them
# when it boots, and a script in the VM reads what they said.
suite_doctest() {
	local o
	kernel_all doctest
	o=$(kernel_dir doctest)
	rootfs_build "$o"
	vm_probe_kvm "$o"
	vm_scripts "$o" rust "$OUT/log/console-doctest.log" "own test-rust-doctests.sh"
}
