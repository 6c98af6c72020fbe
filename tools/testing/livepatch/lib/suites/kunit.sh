# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The suite kunit, under UML; and what runs a kernel's KUnit tests, for those on x86_64 in rust.sh.

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
		--make_options "LLVM=$LLVM_MAKE" --jobs "$JOBS" )
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
