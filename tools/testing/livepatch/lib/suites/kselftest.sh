# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The suite kselftest: the scripts as the tree's own Makefiles install them, in a guest that knows
# nothing of this tool: run_kselftest.sh starts them, and its lines are the results.

test_kselftest_verb() {
	report_start
	test_prepare
	test_suite kselftest suite_kselftest "$(kernel_wanted)"
	report_finish
}

# suite_kselftest KERNEL
suite_kselftest() {
	local kernel=$1 o console=$OUT/log/console-kselftest.log
	kernel_only "$kernel"
	o=$(kernel_dir "$kernel")
	step "make TARGETS=livepatch install" kselftest locked kselftest_install "$o"
	rootfs_build "$o"
	step "pack it" kselftest-pack rootfs_pack "$o/klp-kselftest/root" "$o/klp-kselftest.cpio"
	vm_probe_kvm "$o"
	vm_token
	rootfs_job "$o" "MODE=kselftest" "TOKEN='$VM_TOKEN'" </dev/null
	cat -- "$o/klp-kselftest.cpio" >>"$o/klp-initramfs.cpio"
	S_LOG=$OUT/log/kselftest.log S_PLAN='' S_TESTS=0
	: >"$S_LOG"
	printf '%-44s log: %s\n' "run_kselftest.sh" "$(pretty "$S_LOG")"
	vm_lines "$o" "$console" "$VM_LIMIT" $((VM_LIMIT * 10)) kselftest_line
	[ "$VM_END" = 'done' ] || report kselftest fail 0 "run_kselftest.sh" "the guest did not finish ($VM_END)"
	[ "$S_TESTS" = "$S_PLAN" ] || report kselftest fail 0 "run_kselftest.sh" "planned ${S_PLAN:-no} tests, ran $S_TESTS"
	kernel_log_clean kselftest "$console"
}

# The modules are built where their sources are: in a copy.
kselftest_install() {
	local o=$1 dst=$1/klp-kselftest here=tools/testing/selftests
	mkdir -p -- "$dst/src/$here" "$dst/src/tools" "$dst/src/scripts"
	rsync -rlp --checksum -- "$TREE/$here"/{Makefile,lib.mk,run_kselftest.sh,kselftest,kselftest*.h,livepatch} "$dst/src/$here/"
	rsync -rlp --checksum -- "$TREE/tools"/{scripts,include} "$dst/src/tools/"
	rsync -rlp --checksum -- "$TREE/scripts/subarch.include" "$dst/src/scripts/"
	kernel_selftests_drop "$TREE/$here/livepatch" "$dst/src/$here/livepatch"
	rm -rf -- "$dst/root"
	make -C "$dst/src/$here" O="$o" KDIR="$o" ARCH=x86_64 LLVM="$LLVM_MAKE" TARGETS=livepatch \
		INSTALL_PATH="$dst/root/kselftest" install
}

# ok 1 selftests: livepatch: test-livepatch.sh
kselftest_line() {
	local line=$1 name
	printf '%s\n' "$line" >>"$S_LOG"
	case $line in
	"1.."*) S_PLAN=${line#1..} ;;
	"ok "*|"not ok "*)
		S_TESTS=$((S_TESTS + 1))
		name=${line##*: } name=${name%% #*}
		case $line in
		*"# SKIP"*) report kselftest skip 0 "$name" "see $(pretty "$S_LOG")" ;;
		"ok "*) report kselftest pass 0 "$name" ;;
		*) report kselftest fail 0 "$name" "${line##*: }" ;;
		esac
		printf '    %s\n' "$line"
		;;
	esac
}
