# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Results: one line per test in out/results.tsv, then a table, a KTAP file, the last line.
# Columns: suite, status (pass, fail, skip), milliseconds, name, remark.

report_start() {
	mkdir -p -- "$OUT/log"
	RESULTS=$OUT/results.tsv
	: >"$RESULTS"
	: >"$OUT/times.tsv"
}

# report SUITE STATUS MILLISECONDS NAME [REMARK]
# A test that was skipped counts as failed, unless tests.list says that it may be.
report() {
	local suite=$1 status=$2 ms=$3 name=${4//$'\t'/ } remark=${5:-}
	remark=${remark//$'\t'/ }
	if [ "$status" = skip ] && ! grep -qxF -e "may-skip $suite $name" -e "may-skip ${suite#"$KLP_ARCH "} $name" -- "$KLP_DIR/tests.list"; then
		status=fail
		remark="skipped, which counts as failed${remark:+: $remark}"
	fi
	printf '%s\t%s\t%s\t%s\t%s\n' "$suite" "$status" "$ms" "$name" "$remark" >>"$RESULTS"
	if [ "$status" = fail ]; then
		printf '    FAILED %s: %s%s\n' "$suite" "$name" "${remark:+ ($remark)}"
	fi
}

# report_time SUITE SECONDS: what the suite took as a whole, builds included.
report_time() { printf '%s\t%s\n' "$1" "$2" >>"$OUT/times.tsv"; }

report_ktap() {
	awk -F'\t' '
	BEGIN { print "KTAP version 1" }
	{ if (!($1 in n)) order[++suites] = $1; n[$1]++; line[$1, n[$1]] = $0 }
	END {
		print "1.." suites
		for (s = 1; s <= suites; s++) {
			suite = order[s]; bad = 0
			print "    KTAP version 1\n    # Subtest: " suite "\n    1.." n[suite]
			for (i = 1; i <= n[suite]; i++) {
				split(line[suite, i], f, "\t")
				if (f[5] != "" && f[2] != "skip") print "    # " f[5]
				printf "    %s %d %s%s\n", (f[2] == "fail" ? "not ok" : "ok"), i, f[4], (f[2] == "skip" ? " # SKIP " f[5] : "")
				bad += f[2] == "fail"
			}
			print (bad ? "not ok " : "ok ") s " " suite
		}
	}' "$RESULTS" >"$OUT/results.ktap"
}

# report_matrix KERNEL...: what report_start and report_finish left in a folder for each kernel, as
# one table with a line for each, then the one line. Returns 1 as report_finish does.
report_matrix() {
	local name
	say
	say "results of each kernel: $OUT/KERNEL/results.ktap, logs: $OUT/KERNEL/log"
	say
	for name; do
		awk -F'\t' -v OFS='\t' -v kernel="$name" -v arch="${name%%-*}" '
			FILENAME == ARGV[1] { print kernel, ($1 == "build" ? "build" : "run"), $2; next }
			# An architecture is named in each line of its own.
			{ sub("^" arch " ", "", $1); print kernel, ($1 ~ /^(upstream|own|kunit-)/ ? substr($1, 1, 3) : "other") "-" $2, 1 }
		' "$OUT/$name/times.tsv" "$OUT/$name/results.tsv"
	done | awk -F'\t' '
	{ if (!($1 in seen)) { seen[$1] = 1; order[++kernels] = $1 } sum[$1, $2] += $3 }
	function counts(kernel, what) {
		return sprintf("%d/%d/%d", sum[kernel, what "-pass"], sum[kernel, what "-fail"], sum[kernel, what "-skip"])
	}
	END {
		print "passed/failed/skipped; build and test time in minutes"
		printf "%-22s %14s %14s %14s %14s %7s %7s\n", "kernel", "upstream", "own", "KUnit", "other", "build", "test"
		for (k = 1; k <= kernels; k++) {
			n = order[k]
			printf "%-22s %14s %14s %14s %14s %7.1f %7.1f\n", n, counts(n, "ups"), counts(n, "own"),
				counts(n, "kun"), counts(n, "other"), sum[n, "build"] / 60, sum[n, "run"] / 60
			for (w = split("ups own kun other", what, " "); w > 0; w--) {
				pass += sum[n, what[w] "-pass"]; fail += sum[n, what[w] "-fail"]; skip += sum[n, what[w] "-skip"]
			}
		}
		printf "%d passed, %d failed, %d skipped\n", pass, fail, skip
		exit fail > 0 || pass + 0 == 0
	}'
}

# The table, then the one line. Returns 1 when anything failed or nothing ran.
report_finish() {
	report_ktap
	say
	say "results: $OUT/results.ktap, logs: $OUT/log"
	say
	awk -F'\t' '
	FILENAME == ARGV[1] { time[$1] = $2; if (!($1 in seen)) { seen[$1] = 1; order[++suites] = $1 } next }
	{ if (!($1 in seen)) { seen[$1] = 1; order[++suites] = $1 } c[$1, $2]++; total[$2]++ }
	END {
		printf "%-32s %8s %8s %8s %8s\n", "suite", "passed", "failed", "skipped", "seconds"
		for (s = 1; s <= suites; s++)
			printf "%-32s %8d %8d %8d %8s\n", order[s], c[order[s], "pass"], c[order[s], "fail"], c[order[s], "skip"], time[order[s]]
		printf "%d passed, %d failed, %d skipped\n", total["pass"], total["fail"], total["skip"]
		exit total["fail"] > 0 || total["pass"] + 0 == 0
	}' "$OUT/times.tsv" "$RESULTS"
}
