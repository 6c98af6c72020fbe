# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The suite vm: the scripts of tests.list in the VM, and what their lines say.

VM_LIMIT=${VM_LIMIT:-600}

# suite_vm KERNEL
suite_vm() {
	local kernel=$1 core o log
	core=$(kernel_core "$1")
	log=$OUT/log/console-$kernel
	arch_is_native || log=$OUT/log/console-$KLP_ARCH-$kernel
	kernel_all "$kernel"
	o=$(kernel_dir "$kernel")
	if arch_is_native; then
		[ "$core" != rust ] || step "build test-klp-random" klp-random random_build "$o"
		step "build klp" klp klp_build "$o/klp-selftests/livepatch/test_klp-tool"
	fi
	rootfs_build "$o"
	vm_probe_kvm "$o"
	local -a todo
	mapfile -t todo < <(vm_list "$core")
	[ "${#todo[@]}" -gt 0 ] || { report "vm" fail 0 "tests.list" "no script for core=$core"; return 0; }
	local boot=0 before
	# One boot for all, as long as all is well; a new one after a script that failed,
	# hung or took the kernel down, for the scripts that are left.
	while [ "${#todo[@]}" -gt 0 ]; do
		boot=$((boot + 1))
		before=${#todo[@]}
		vm_scripts "$o" "$core" "$log-$boot.log" "${todo[@]}"
		todo=("${todo[@]:VM_DONE}")
		if [ "${#todo[@]}" -eq "$before" ]; then
			report vm fail 0 "the guest boots and runs scripts" "$VM_END; see $log-$boot.log"
			tail -n 15 -- "$log-$boot.log" | sed 's/^/    | /'
			break
		fi
	done
}

# The program behind test-core-random.sh: without libraries, and for a kernel tree's selftests
# too foreign to be in their Makefile.
random_build() {
	rootfs_cargo tools/testing/livepatch/random klp-random "$1/klp-selftests/livepatch/test_klp-random"
}

# The one behind test-core-klp.sh.
klp_build() {
	rootfs_cargo tools/livepatch/klp klp "$1"
}

# What a package of it has beside the program.
klp_pages() {
	"$OUT/klp" generate "$OUT/klp-files"
	cp -r -- "$REPO"/tools/livepatch/klp/{systemd,dracut,initramfs-tools} "$OUT/klp-files/"
}

# Lines "suite script" of tests.list for this core and architecture.
vm_list() {
	awk -v core="$1" -v arch="$KLP_ARCH" -v only="${KLP_ONLY:-}" '
		/^#/ || NF < 2 || $1 == "may-skip" || $1 == "c-fails" { next }
		{ for (i = 3; i <= NF; i++) if ($i ~ /^core=/ && $i != "core=" core || $i ~ /^arch=/ && $i != "arch=" arch) next }
		only ~ /\.sh/ && index(" " only " ", " " $2 " ") == 0 { next }
		{ print $1, $2 }' "$KLP_DIR/tests.list"
}

# vm_scripts O CORE CONSOLE SCRIPT...: one boot. Sets VM_DONE: how many were dealt with.
vm_scripts() {
	local o=$1 console=$3
	S_CORE=$2 S_CONSOLE=$console S_AT=
	arch_is_native || S_AT="$KLP_ARCH "
	shift 3
	vm_token
	printf '%s\n' "$@" | rootfs_job "$o" "MODE=tests" "TOKEN='$VM_TOKEN'" "LIMIT=$VM_LIMIT"
	printf '%-44s log: %s\n' "boot, run $# scripts" "$(pretty "$console")"
	VM_DONE=0 S_SCRIPT='' S_SUITE=''
	vm_lines "$o" "$console" $((VM_LIMIT + 60)) $((VM_LIMIT * $# + 120)) vm_scripts_line
	if [ -n "$S_SCRIPT" ]; then
		# Begun and not ended: the script, or the kernel, hung or died.
		vm_script_end 255 0 "the guest $([ "$VM_END" = silent ] && echo 'said nothing for too long' || echo 'died')"
		tail -n 15 -- "$console" | sed 's/^/    | /'
	fi
	kernel_log_clean "${S_AT}vm kernel log" "$console"
}

vm_scripts_line() {
	local line=$1
	case $line in
	"$VM_TOKEN boot "*) vm_check_core "${line#"$VM_TOKEN boot "}" ;;
	"$VM_TOKEN begin "*)
		line=${line#"$VM_TOKEN begin "}
		S_SUITE=${line%% *} S_SCRIPT=${line#* } S_TESTS=0 S_BAD=0 S_KNOWN=0 S_SKIPPED=''
		S_LOG=$OUT/log/$S_SCRIPT.log
		: >"$S_LOG"
		;;
	"$VM_TOKEN end "*)
		line=${line#"$VM_TOKEN end "}
		vm_script_end "${line% *}" "${line#* }" ""
		;;
	*)
		[ -n "$S_SCRIPT" ] || return 0
		printf '%s\n' "$line" >>"$S_LOG"
		"vm_line_$S_SUITE" "$line"
		;;
	esac
}

# The kernel that runs must be the one that was asked for.
vm_check_core() {
	local core symbols
	core=${1#*core=} core=${core%% *}
	symbols=${1#*symbols=} symbols=${symbols%% *}
	if [ "$core" = "$S_CORE" ] && { [ "$core" = c ] || [ "$symbols" -gt 0 ]; } && { [ "$core" = rust ] || [ "$symbols" -eq 0 ]; }; then
		report "${S_AT}vm kernel log" pass 0 "livepatch core is $S_CORE (${S_CONSOLE##*/})"
	else
		report "${S_AT}vm kernel log" fail 0 "livepatch core is $S_CORE (${S_CONSOLE##*/})" "$1"
	fi
}

# vm_c_fails SCRIPT NAME: does tests.list say that the C core fails this one?
vm_c_fails() {
	[ "$S_CORE" = c ] && grep -qxF -e "c-fails $1 $2" -e "c-fails $KLP_ARCH $1 $2" -- "$KLP_DIR/tests.list"
}

vm_result() {
	S_TESTS=$((S_TESTS + 1))
	local name=${2%% # *}
	if vm_c_fails "$S_SCRIPT" "$name"; then
		if [ "$1" = fail ]; then
			# It counts as passed, but the script's status does not say that.
			S_KNOWN=$((S_KNOWN + 1))
			report "$S_AT$S_SUITE $S_SCRIPT" pass 0 "$name (the C core fails, as tests.list says)"
		else
			S_BAD=$((S_BAD + 1))
			report "$S_AT$S_SUITE $S_SCRIPT" fail 0 "$2" "tests.list says that the C core fails: not so any more?"
		fi
		return
	fi
	# Whether one that was skipped counts as failed, report knows.
	[ "$1" != fail ] || S_BAD=$((S_BAD + 1))
	report "$S_AT$S_SUITE $S_SCRIPT" "$1" 0 "$2" "${3:-}"
}

# upstream: "TEST: name ... ok", "TEST: name ... not ok", "SKIP: reason".
vm_line_upstream() {
	case $1 in
	"TEST: "*" ... ok") local name=${1#TEST: }; vm_result pass "${name% ... ok}" ;;
	"TEST: "*" ... not ok"*) local name=${1#TEST: }; vm_result fail "${name% ... not ok*}" ;;
	"SKIP: "*|"skip all tests: "*) S_SKIPPED=${1#*: } ;;
	esac
}

# own: KTAP. Nested results and diagnostics are for the log.
vm_line_own() {
	local name
	case $1 in
	"1..0 # SKIP"*) S_SKIPPED=${1#1..0 # SKIP } ;;
	"1.."*) S_PLAN=${1#1..} ;;
	"ok "*|"not ok "*)
		name=${1#not } name=${name#ok } name=${name#* } name=${name#- }
		case $1 in
		*"# SKIP"*) vm_result skip "${name%% # SKIP*}" "${name##*# SKIP }" ;;
		"ok "*) vm_result pass "$name" ;;
		*) vm_result fail "$name" ;;
		esac
		;;
	esac
}

# vm_script_end STATUS MILLISECONDS WHY: what the lines did not say by themselves.
vm_script_end() {
	local rc=$1 ms=$2 why=$3 plan=${S_PLAN:-}
	if [ "$rc" -eq 124 ] || [ "$rc" -eq 137 ]; then why="longer than $VM_LIMIT s"; fi
	if [ -n "$S_SKIPPED" ] || [ "$rc" -eq 4 ]; then
		vm_result skip "$S_SCRIPT" "$S_SKIPPED"
	elif [ "$rc" -ne 0 ] && { [ "$((S_BAD + S_KNOWN))" -eq 0 ] || [ -n "$why" ]; }; then
		vm_result fail "$S_SCRIPT runs to its end" "${why:-exit status $rc}"
	elif [ "$S_TESTS" -eq 0 ]; then
		vm_result fail "$S_SCRIPT" "it ran no test"
	elif [ -n "$plan" ] && [ "$plan" != "$S_TESTS" ]; then
		vm_result fail "$S_SCRIPT" "planned $plan tests, ran $S_TESTS"
	fi
	printf '    %-28s %3d tests, %d failed, %d.%d s\n' "$S_SCRIPT" "$S_TESTS" "$S_BAD" $((ms / 1000)) $((ms % 1000 / 100))
	if [ "$S_BAD" -ne 0 ]; then tail -n 40 -- "$S_LOG" | sed 's/^/    | /'; fi
	report_time "$S_AT$S_SUITE $S_SCRIPT" "$((ms / 1000))"
	VM_DONE=$((VM_DONE + 1))
	S_SCRIPT='' S_PLAN=''
}
