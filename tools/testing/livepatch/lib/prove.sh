# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# make prove: what takes longer than a test and needs neither the kernel tree nor a VM.

# Each step is a function prove_NAME that calls report for what it found. KLP_ONLY selects steps.
PROVE_STEPS=(loom litmus protocol coverage mutants)

# The host crates that have tests of kernel/livepatch/model, as folders of this one. Coverage is that
# of all of them together.
PROVE_CRATES=(model protocol loom)

# Lines of a file that tests must reach, in percent.
COVERAGE_MIN=95

MUTANTS_VERSION=27.1.0

prove_verb() {
	local name
	for name in ${KLP_ONLY:-}; do
		[[ " ${PROVE_STEPS[*]} " == *" $name "* ]] || die "KLP_ONLY: prove has no step '$name', only: ${PROVE_STEPS[*]}"
	done
	report_start
	for name in "${PROVE_STEPS[@]}"; do
		test_suite "$name" "prove_$name"
	done
	report_finish
}

# prove_report SUITE COMMAND...: reports its lines "status name remark"; others are for the user.
prove_report() {
	local suite=$1 out rc=0 status name remark n=0
	shift
	out=$(mktemp)
	"$@" >"$out" || rc=$?
	while IFS=$'\t' read -r status name remark; do
		case $status in
		pass|fail) report "$suite" "$status" 0 "$name" "$remark"; n=$((n + 1)) ;;
		*) printf '%s\n' "$status" ;;
		esac
	done <"$out"
	rm -f -- "$out"
	if [ "$rc" -ne 0 ]; then
		report "$suite" fail 0 "${1##*/}" "exit status $rc"
	elif [ "$n" -eq 0 ]; then
		report "$suite" fail 0 "${1##*/}" "it found nothing to look at"
	fi
}

# ---- memory order

prove_loom() { suite_loom; }

# herd7 is in no registry that this tool uses: who has it names it by HERD=.
prove_litmus() {
	local log=$OUT/log/litmus.log rc=0 status name remark
	if ! command -v "${HERD:-herd7}" >/dev/null; then
		say "    no herd7: set HERD=/path/to/herd7 (7.58 or later) to check the litmus tests"
		report litmus skip 0 "herd7" "not installed"
		return 0
	fi
	deps_for_tree
	base_all
	printf '%-44s log: %s\n' "herd7" "$(pretty "$log")"
	"$KLP_DIR/litmus/run.sh" --herd "${HERD:-herd7}" --jobs 2 "$BASE" >"$log" 2>&1 || rc=$?
	while IFS=$'\t' read -r status name remark; do
		report litmus "$status" 0 "$name" "$remark"
	done < <(awk '$3 == "Never" || $3 == "Sometimes" {
		print ($1 == "ok" ? "pass" : "fail") "\t" $2 "\t" "expected " $3 ", found " $4 }' "$log")
	sed -n '/^RULE/,$p' "$log"
	[ "$rc" -eq 0 ] || report litmus fail 0 "litmus/run.sh" "exit status $rc"
}

# ---- the order of the steps

# All scenarios, the large ones too, and all faults. It tells how far it is by itself.
prove_protocol() {
	deps_cargo
	step "cargo build" protocol-build protocol_build
	prove_report protocol "$CACHE/protocol-target/release/klp-protocol" --report
}

protocol_build() {
	( cd -- "$KLP_DIR/protocol" && PATH=$USER_PATH CARGO_TARGET_DIR=$CACHE/protocol-target \
		cargo build --locked --release )
}

# ---- copies

# prove_stage DIR: a copy of the model and of the crates with its tests, at their places.
prove_stage() {
	local stage=$1 here=tools/testing/livepatch crate
	mkdir -p -- "$stage/kernel" "$stage/$here"
	# The core, too: a test looks for the names of the barriers in it.
	rsync -a --delete -- "$REPO/kernel/livepatch" "$stage/kernel/"
	for crate in "${PROVE_CRATES[@]}" litmus; do
		rsync -a --delete --exclude=/target -- "$KLP_DIR/$crate/" "$stage/$here/$crate/"
	done
}

# prove_workspace DIR: the same for cargo-mutants, with one crate. It copies the workspace, and the
# model is outside of the crate's folder: so that is not the workspace, the whole copy is.
prove_workspace() {
	local stage=$1 here=tools/testing/livepatch
	prove_stage "$stage"
	sed -i '/^\[workspace\]/d' "$stage/$here/model/Cargo.toml"
	cat >"$stage/Cargo.toml" <<-EOF
		[workspace]
		resolver = "2"
		members = ["$here/model"]
	EOF
	mv -- "$stage/$here/model/Cargo.lock" "$stage/"
}

# ---- coverage

# By the distribution's rustc and the LLVM tools of the same version, which can read its profiles;
# cargo may be any.
prove_coverage() {
	local dir=$OUT/coverage
	deps_apt_only "rustc-web llvm$LLVM_SUFFIX gcc libc6-dev python3 rsync ca-certificates"
	deps_cargo
	rm -rf -- "$dir"
	mkdir -p -- "$dir"
	step "copy of the model and its tests" coverage-stage prove_stage "$dir/stage"
	step "cargo test with coverage" coverage coverage_run "$dir"
	prove_report coverage "$KLP_DIR/model/coverage.py" "$dir/stage" "$dir/lcov.info" "$COVERAGE_MIN" \
		"$KLP_DIR/model/uncovered.txt"
}

coverage_run() {
	local dir=$1 bin=/usr/lib/llvm$LLVM_SUFFIX/bin
	local -a objects=() found
	local crate
	export PATH=$USER_PATH RUSTC RUSTFLAGS="-C instrument-coverage" \
		CARGO_TARGET_DIR=$CACHE/coverage-target LLVM_PROFILE_FILE=$dir/%p-%m.profraw
	for crate in "${PROVE_CRATES[@]}"; do
		cd -- "$dir/stage/tools/testing/livepatch/$crate" || return 1
		cargo test --locked --no-fail-fast
		# The program that has just run.
		mapfile -t found < <(cargo test --locked --no-run --message-format=json |
			/usr/bin/python3 -c '
import json, sys
for line in sys.stdin:
    if name := json.loads(line).get("executable"):
        print("-object", name, sep="\n")')
		objects+=("${found[@]}")
	done
	"$bin/llvm-profdata" merge -sparse -o "$dir/profile" "$dir"/*.profraw
	"$bin/llvm-cov" export --format=lcov --instr-profile="$dir/profile" "${objects[@]}" >"$dir/lcov.info"
	rm -f -- "$dir"/*.profraw
}

# ---- mutants

deps_mutants() {
	local have
	deps_apt_only "gcc libc6-dev python3 rsync ca-certificates"
	deps_cargo
	have=$("$CACHE/mutants/bin/cargo-mutants" mutants --version 2>/dev/null | awk '{ print $2 }' || true)
	[ "$have" != "$MUTANTS_VERSION" ] || return 0
	step "cargo install cargo-mutants $MUTANTS_VERSION" mutants-install env "PATH=$USER_PATH" \
		"CARGO_TARGET_DIR=$CACHE/mutants-build" \
		cargo install --locked --force cargo-mutants --version "$MUTANTS_VERSION" --root "$CACHE/mutants"
	rm -rf -- "$CACHE/mutants-build"
}

prove_mutants() {
	local dir=$OUT/mutants log=$OUT/log/mutants.log rc=0
	deps_mutants
	rm -rf -- "$dir"
	mkdir -p -- "$dir"
	step "copies of the model and its tests" mutants-stage mutants_stage "$dir"
	printf '%-44s log: %s\n' "cargo mutants" "$(pretty "$log")"
	mutants_all "$dir" 2>&1 | tee -- "$log" | mutants_progress || rc=$?
	if [ "$rc" -ne 0 ]; then
		useful_lines "$log"
		report mutants fail 0 "cargo mutants" "exit status $rc"
		return 0
	fi
	prove_report mutants "$KLP_DIR/model/mutants.py" "$dir/model" "$KLP_DIR/model/survivors.txt" \
		"$dir/model.out/mutants.out/outcomes.json" "$dir/order.json"
}

mutants_stage() {
	prove_workspace "$1/model"
	prove_stage "$1/order"
}

# Who tests the rules one by one does not know the order of the steps, and the other way round.
mutants_all() {
	mutants_rules "$1" && mutants_order "$1"
}

# Each mutant is built and tested on its own, two at a time. The time limit is for those that never end:
# it must not catch any other, also not on a machine that is busy.
mutants_rules() {
	local dir=$1 rc=0
	mkdir -p -- "$dir/model.out"
	(
		cd -- "$dir/model" || exit 1
		unset CARGO_TARGET_DIR
		PATH=$CACHE/mutants/bin:$USER_PATH PROPTEST_CASES=128 RUST_BACKTRACE=0 cargo mutants \
			--no-config --colors never --cap-lints true --jobs 2 --timeout 90 \
			--build-timeout 600 --caught --unviable --output "$dir/model.out" \
			--file '**/kernel/livepatch/model/**' --exclude '**/protocol.rs' -- --locked
	) || rc=$?
	# 2: some were missed, 3: some hung. Both are for the list.
	case $rc in 0|2|3) return 0 ;; *) return "$rc" ;; esac
}

# In protocol.rs single calls are deleted, and neighbours swapped, too. The tests in which something is
# missing already are no judges of that, but for those that show that assumptions are checked. (A message
# that such a test waits for is noticed by it, too.) Nor is one that only looks for names in the text, nor
# are long ones that notice nothing more than others.
mutants_order() {
	local dir=$1 here=tools/testing/livepatch
	( cd -- "$dir/model" && PATH=$CACHE/mutants/bin:$USER_PATH cargo mutants --no-config --list \
		--json --file '**/kernel/livepatch/model/protocol.rs' ) >"$dir/protocol.json" || return
	PATH=$USER_PATH "$KLP_DIR/model/order_mutants.py" --file kernel/livepatch/model/protocol.rs \
		--crate "$here/protocol" --crate "$here/loom" --also "$dir/protocol.json" \
		--skip tests::fault:: --skip orders::without:: --skip orders::names \
		--skip tests::scenario::cpus --skip tests::scenario::fork_rt \
		--keep tests::fault::no_idle --keep tests::fault::fork_early_flag \
		--keep orders::without::move_then_list --jobs 2 --limit 300 --known "$CACHE/order-mutants.tsv" \
		"$dir/order" "$dir/order.json"
}

# One line in twenty of those that say what became of a mutant, and all that are worth reading.
mutants_progress() {
	awk '
	/^Found [0-9]+ mutants/ { all = $2; n = told = 0 }
	/^(caught|unviable|MISSED|TIMEOUT) / { n++ }
	/^(MISSED|TIMEOUT|ERROR|FAILED) / { sub(/tools[^ ]*\/kernel\/livepatch\//, ""); print "    " $0; fflush(); next }
	n && n % 20 == 0 && n != told { print "    " n " of " all; fflush(); told = n }'
}
