# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Suites on the host: kernel/livepatch/model, its rules one by one, and what they make together.

suite_model() { cargo_suite model; }

# The order of a transition's steps, all interleavings of it, and what is found without some.
suite_protocol() { cargo_suite protocol; }

# What the memory model makes of it.
suite_loom() { cargo_suite loom; }

# The tool, on systems that are only files.
suite_klp() { cargo_suite klp "$REPO/tools/livepatch/klp"; }

# cargo_suite NAME [DIR]: the crate in this folder; each of its tests is one of ours.
cargo_suite() {
	local suite=$1 dir=${2:-$KLP_DIR/$1} log=$OUT/log/$1.log rc=0
	if [ ! -f "$dir/Cargo.toml" ]; then
		report "$suite" fail 0 "${dir#"$REPO"/} exists" "there is no such crate"
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
