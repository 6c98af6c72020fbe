# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The test suites: model on the host, KUnit under UML (on x86_64: rust.sh), scripts in the VM.

test_verb() {
	report_start
	test_prepare
	test_suite model suite_model
	test_suite protocol suite_protocol
	test_suite loom suite_loom
	test_suite kunit suite_kunit
	test_suite compile-fail suite_compile_fail
	test_suite vm suite_vm "$KLP_CORE"
	# The examples are about the API, which is the same on both cores.
	[ "$KLP_CORE" = c ] || test_suite doctest suite_doctest
	[ "$KLP_CORE" = c ] || test_suite kunit-x86 suite_kunit_x86
	report_finish
}

test_debug_verb() {
	report_start
	test_prepare
	KLP_MEM=${KLP_MEM:-2G}
	VM_LIMIT=1500
	test_suite kunit-x86 suite_kunit_core debug
	test_suite vm suite_vm debug
	report_finish
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

# ---- (a) kernel/livepatch/model on the host: its rules one by one, and what they make together

suite_model() { cargo_suite model; }

# The order of a transition's steps, all interleavings of it, and what is found without some.
suite_protocol() { cargo_suite protocol; }

# What the memory model makes of it.
suite_loom() { cargo_suite loom; }

# cargo_suite NAME: the crate in this folder; each of its tests is one of ours.
cargo_suite() {
	local suite=$1 dir=$KLP_DIR/$1 log=$OUT/log/$1.log rc=0
	if [ ! -f "$dir/Cargo.toml" ]; then
		report "$suite" fail 0 "tools/testing/livepatch/$suite exists" "there is no such crate"
		return 0
	fi
	deps_cargo
	printf '%-44s log: %s\n' "cargo test" "$(pretty "$log")"
	# The user's own PATH: here rustup's cargo and rustc belong together.
	( cd -- "$dir" && PATH=$USER_PATH CARGO_TARGET_DIR=$CACHE/$suite-target RUST_BACKTRACE=0 cargo test --locked --no-fail-fast ) >"$log" 2>&1 || rc=$?
	local before
	before=$(wc -l <"$RESULTS")
	while IFS=$'\t' read -r status name; do
		report "$suite" "$status" 0 "$name"
	done < <(awk '
		/^ *(Running|Doc-tests) / { unit = $NF; if ($1 == "Running") { unit = $2 " " $3; if ($2 != "unittests") unit = $2 } else unit = "doc " $2; next }
		match($0, /^test .* \.\.\. (ok|FAILED|ignored)/) {
			name = $0; sub(/^test /, "", name); status = name
			sub(/ \.\.\. .*/, "", name); sub(/.* \.\.\. /, "", status)
			if (name ~ / - should panic$/) sub(/ - should panic$/, "", name)
			s = status ~ /^ok/ ? "pass" : status ~ /^ignored/ ? "skip" : "fail"
			print s "\t" (unit == "" ? "" : unit ": ") name
		}' "$log")
	if [ "$(wc -l <"$RESULTS")" -eq "$before" ]; then
		useful_lines "$log"
		report "$suite" fail 0 "cargo test" "no test ran (exit status $rc)"
	elif [ "$rc" -ne 0 ] && ! tail -n "+$((before + 1))" "$RESULTS" | grep -q "^$suite	fail"; then
		useful_lines "$log"
		report "$suite" fail 0 "cargo test" "exit status $rc"
	elif [ "$rc" -ne 0 ]; then
		grep -A12 '^---- .* ----' -- "$log" | head -n 60 || true
	fi
}

# ---- (b) KUnit under UML

suite_kunit() {
	local build=$CACHE/build-uml$BASE_KEY
	if [ ! -f "$TREE/kernel/livepatch/.kunitconfig" ]; then
		report kunit fail 0 "kernel/livepatch/.kunitconfig exists" "there is no such file"
		return 0
	fi
	step "build KUnit kernel (UML)" kunit-build locked kunit build "$build"
	kunit_run kunit "$build" . --kunitconfig=kernel/livepatch
}

# kunit_run SUITE BUILD PATTERN ARGUMENT...: kunit.py runs the kernel in BUILD. Each case with a
# name like PATTERN is a test of ours, all others together are one.
kunit_run() {
	local suite=$1 build=$2 pattern=$3 log=$OUT/log/$1.log json=$OUT/log/$1.json rc=0
	shift 3
	printf '%-44s log: %s\n' "run KUnit" "$(pretty "$log")"
	rm -f -- "$json"
	( cd -- "$TREE" && ./tools/testing/kunit/kunit.py exec --build_dir="$build" \
		--timeout=300 --json="$json" "$@" ) >"$log" 2>&1 || rc=$?
	cp -f -- "$build/test.log" "$OUT/log/$suite-console.log" 2>/dev/null || true
	local n=0 bad=0 others=0 others_bad=0 status name
	while IFS=$'\t' read -r status name; do
		[ "$status" != fail ] || bad=$((bad + 1))
		if [[ $name =~ $pattern ]]; then
			n=$((n + 1))
			report "$suite" "$status" 0 "$name"
		else
			others=$((others + 1))
			[ "$status" = pass ] || others_bad=$((others_bad + 1))
		fi
	done < <([ ! -s "$json" ] || kunit_cases "$json")
	if [ "$others_bad" -gt 0 ]; then
		report "$suite" fail 0 "$others other cases" "$others_bad failed"
	elif [ "$others" -gt 0 ]; then
		report "$suite" pass 0 "$others other cases"
	fi
	if [ "$n" -eq 0 ]; then
		useful_lines "$log"
		report "$suite" fail 0 "kunit.py" "no test ran (exit status $rc)"
	elif [ "$rc" -ne 0 ] && [ "$bad" -eq 0 ]; then
		useful_lines "$log"
		report "$suite" fail 0 "kunit.py" "exit status $rc"
	elif [ "$bad" -ne 0 ]; then
		grep -E -B4 'FAILED|EXPECTATION|ASSERTION' -- "$log" | head -n 60 || true
	fi
	kernel_log_clean "$suite" "$OUT/log/$suite-console.log"
}

kunit() {
	( cd -- "$TREE" && ./tools/testing/kunit/kunit.py "$1" --kunitconfig=kernel/livepatch --build_dir="$2" \
		--make_options "LLVM=$LLVM_SUFFIX" --jobs "$JOBS" )
}

# The test cases of kunit.py's JSON: status and "suite.case".
kunit_cases() {
	/usr/bin/python3 - "$1" <<-'EOF'
		import json, sys
		STATUS = {"PASS": "pass", "SKIP": "skip"}
		def walk(group, path):
		    for case in group.get("test_cases", []):
		        print(STATUS.get(case["status"], "fail"), ".".join(path + [case["name"]]), sep="\t")
		    for sub in group.get("sub_groups", []):
		        walk(sub, path + [sub["name"]])
		walk(json.load(open(sys.argv[1])), [])
	EOF
}

# kernel_log_clean SUITE LOG: a test of its own: nothing in there that no healthy kernel prints.
kernel_log_clean() {
	local splats
	splats=$(vm_splats "$2")
	if [ -n "$splats" ]; then
		printf '%s\n' "$splats" | sed 's/^/    | /'
		report "$1" fail 0 "the kernel's log is clean (${2##*/})" "$(head -n 1 <<<"$splats")"
	else
		report "$1" pass 0 "the kernel's log is clean (${2##*/})"
	fi
}

# ---- (c) scripts in the VM

VM_LIMIT=${VM_LIMIT:-600}

# suite_vm FLAVOUR
suite_vm() {
	local flavour=$1 core=$1 o
	[ "$flavour" != debug ] || core=rust
	kernel_all "$flavour"
	o=$(kernel_dir "$flavour")
	[ "$core" != rust ] || step "build test-klp-random" klp-random random_build "$o"
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
		vm_scripts "$o" "$core" "$OUT/log/console-$flavour-$boot.log" "${todo[@]}"
		todo=("${todo[@]:VM_DONE}")
		if [ "${#todo[@]}" -eq "$before" ]; then
			report vm fail 0 "the guest boots and runs scripts" "$VM_END; see $OUT/log/console-$flavour-$boot.log"
			tail -n 15 -- "$OUT/log/console-$flavour-$boot.log" | sed 's/^/    | /'
			break
		fi
	done
}

# The program behind test-core-random.sh: without libraries, and for a kernel tree's selftests
# too foreign to be in their Makefile.
random_build() {
	deps_cargo
	( cd -- "$KLP_DIR/random" && PATH=$USER_PATH CARGO_TARGET_DIR=$CACHE/random-target \
		RUSTFLAGS="-C target-feature=+crt-static" \
		cargo build --locked --release --target x86_64-unknown-linux-gnu )
	cp -- "$CACHE/random-target/x86_64-unknown-linux-gnu/release/klp-random" \
		"$1/klp-selftests/livepatch/test_klp-random"
}

# Lines "suite script" of tests.list for this core.
vm_list() {
	awk -v core="$1" -v only="${KLP_ONLY:-}" '
		/^#/ || NF < 2 || $1 == "may-skip" || $1 == "c-fails" { next }
		$3 ~ /^core=/ && $3 != "core=" core { next }
		only ~ /\.sh/ && index(" " only " ", " " $2 " ") == 0 { next }
		{ print $1, $2 }' "$KLP_DIR/tests.list"
}

# vm_scripts O CORE CONSOLE SCRIPT...: one boot. Sets VM_DONE: how many were dealt with.
vm_scripts() {
	local o=$1 console=$3
	S_CORE=$2 S_CONSOLE=$console
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
	kernel_log_clean "vm kernel log" "$console"
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
		report "vm kernel log" pass 0 "livepatch core is $S_CORE (${S_CONSOLE##*/})"
	else
		report "vm kernel log" fail 0 "livepatch core is $S_CORE (${S_CONSOLE##*/})" "$1"
	fi
}

# vm_c_fails SCRIPT NAME: does tests.list say that the C core fails this one?
vm_c_fails() {
	[ "$S_CORE" = c ] && grep -qxF -- "c-fails $1 $2" "$KLP_DIR/tests.list"
}

vm_result() {
	S_TESTS=$((S_TESTS + 1))
	local name=${2%% # *}
	if vm_c_fails "$S_SCRIPT" "$name"; then
		if [ "$1" = fail ]; then
			# It counts as passed, but the script's status does not say that.
			S_KNOWN=$((S_KNOWN + 1))
			report "$S_SUITE $S_SCRIPT" pass 0 "$name (the C core fails, as tests.list says)"
		else
			S_BAD=$((S_BAD + 1))
			report "$S_SUITE $S_SCRIPT" fail 0 "$2" "tests.list says that the C core fails: not so any more?"
		fi
		return
	fi
	[ "$1" = pass ] || S_BAD=$((S_BAD + 1))
	report "$S_SUITE $S_SCRIPT" "$1" 0 "$2" "${3:-}"
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
	report_time "$S_SUITE $S_SCRIPT" "$((ms / 1000))"
	VM_DONE=$((VM_DONE + 1))
	S_SCRIPT='' S_PLAN=''
}
