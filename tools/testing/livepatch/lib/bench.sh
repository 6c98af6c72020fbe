# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# make bench: what livepatching costs, on both cores, one beside the other. Calls are counted in
# instructions, which takes one CPU and a clock that counts them; the rest is timed with more CPUs.

# What is measured: calls in instructions, all else in time.
BENCH_PARTS=${BENCH_PARTS:-calls times}

# How often the rest is timed: one boot of each core, in turn.
BENCH_RUNS=${BENCH_RUNS:-3}

# The most functions that a patch has, for each core: the one in C needs minutes for 1000.
BENCH_MOST_RUST=${BENCH_MOST_RUST:-5000}
BENCH_MOST_C=${BENCH_MOST_C:-1000}

# How many other functions are patched in the last rows of calls.
BENCH_OTHERS_RUST=10000
BENCH_OTHERS_C=1000

# What the guest times, as words of klp-bench; each has minutes of its own.
BENCH_TIMES=(boot floor small module vmlinux tasks busy stalls stack replace modules memory)

bench_verb() {
	local core o run dir=$OUT/bench rows
	if ! arch_is_native; then
		# The rest is measured by klp-bench, which needs a standard library for that architecture.
		BENCH_PARTS=calls
		dir=$dir-$KLP_ARCH
	fi
	rows=$dir/rows.tsv
	deps_all
	deps_plots
	base_all
	tree_all
	mkdir -p -- "$dir"
	: >"$rows"
	for core in rust c; do
		kernel_all "$core"
		o=$(kernel_dir "$core")
		step "build bench modules ($core)" "${o##*/}-bench" locked bench_build "$o"
		if arch_is_native; then
			step "build klp-bench ($core)" klp-bench rootfs_cargo tools/testing/livepatch/bench/runner klp-bench "$o/klp-selftests/bench/"
		fi
		rootfs_build "$o"
		bench_sizes "$core" "$o" "$rows"
	done
	if [[ " $BENCH_PARTS " == *" calls "* ]]; then
		for core in rust c; do
			bench_boot "calls ($core)" "$core" "$rows" calls KLP_ICOUNT=shift=0 KLP_SMP=1
		done
	fi
	if [[ " $BENCH_PARTS " == *" times "* ]]; then
		for ((run = 1; run <= BENCH_RUNS; run++)); do
			for core in rust c; do
				bench_boot "times ($core), $run of $BENCH_RUNS" "$core" "$rows" times
			done
		done
	fi
	/usr/bin/python3 -B "$KLP_DIR/bench/table.py" "$rows" "$dir"
	say "rows and plots: $(pretty "$dir")"
}

# In a copy, as the selftests: the repository stays clean.
bench_build() {
	local o=$1 dst=$1/klp-selftests/bench
	mkdir -p -- "$dst"
	rsync -rlp --checksum --exclude=/runner -- "$KLP_DIR/bench/" "$dst/"
	kmake "$o" modules M="$dst"
}

# bench_sizes CORE O ROWS: of the core's own objects.
bench_sizes() {
	local core=$1 o=$2 rows=$3
	find "$o/kernel/livepatch" -name '*.o' ! -path '*/tests/*' ! -name 'built-in*' ! -name '.*' -print0 |
		xargs -0 -r "llvm-size$LLVM_SUFFIX" -t | awk -v core="$core" '
		/TOTALS/ { printf "%s\tsize.text\t%d\n%s\tsize.data\t%d\n%s\tsize.bss\t%d\n", core, $1, core, $2, core, $3 }' >>"$rows"
}

# bench_boot WHAT CORE ROWS calls|times [VARIABLE=VALUE...]
bench_boot() {
	local what=$1 core=$2 rows=$3 rows_of=$4 console o most others before
	shift 4
	[ $# -eq 0 ] || local "$@"
	console=$OUT/log/console-bench-$KLP_ARCH-$rows_of-$core.log
	o=$(kernel_dir "$core")
	most=BENCH_MOST_${core^^} others=BENCH_OTHERS_${core^^}
	arch_is_native || local "$others="
	B_CORE=$core B_ROWS=$rows B_RC='' B_COUNT=0
	vm_token
	case $rows_of in
	calls) echo "bench ../bench/calls.sh ${!others}" ;;
	times) echo "bench ../bench/times.sh --most ${!most} ${BENCH_TIMES[*]}" ;;
	esac | rootfs_job "$o" "MODE=tests" "TOKEN='$VM_TOKEN'" "LIMIT=5400"
	printf '%-44s log: %s\n' "boot, $what" "$(pretty "$console")"
	before=$SECONDS
	vm_lines "$o" "$console" 1800 5500 bench_line
	if [ "$VM_END" != 'done' ] || [ "$B_RC" != 0 ] || [ "$B_COUNT" -eq 0 ]; then
		tail -n 15 -- "$console"
		die "the guest did not measure all of it ($VM_END, exit status ${B_RC:-none}); its log: $console"
	fi
	[ -z "$(vm_splats "$console")" ] || die "the kernel complained: $(vm_splats "$console" 3)"
	say "    $B_COUNT rows, $((SECONDS - before)) s"
}

bench_line() {
	local line=$1
	case $line in
	"$VM_TOKEN end "*) line=${line#"$VM_TOKEN end "}; B_RC=${line% *} ;;
	"row "*)
		# shellcheck disable=SC2086
		printf '%s\t' "$B_CORE" ${line#row } | sed 's/\t$/\n/' >>"$B_ROWS"
		B_COUNT=$((B_COUNT + 1))
		printf '    %s\n' "${line#row }"
		;;
	"error: "*|"left out: "*|"Error: "*|"Caused by"*|"    "*) printf '    %s\n' "$line" ;;
	esac
}
