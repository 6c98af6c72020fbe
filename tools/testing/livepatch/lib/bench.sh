# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# make bench: what livepatching costs, on both cores, one beside the other. So far: calls of a
# patched function, in instructions.

bench_verb() {
	local core o rows=$OUT/bench/calls.tsv
	deps_all
	base_all
	tree_all
	mkdir -p -- "$OUT/bench"
	: >"$rows"
	for core in rust c; do
		kernel_all "$core"
		o=$(kernel_dir "$core")
		step "build bench modules ($core)" "${o##*/}-bench" locked bench_build "$o"
		rootfs_build "$o"
	done
	for core in rust c; do
		bench_calls "$core" "$rows"
	done
	python3 -B "$KLP_DIR/bench/table.py" "$rows" "$OUT/bench/calls.json"
	say "rows: $(pretty "$OUT/bench/calls.json")"
}

# In a copy, as the selftests: the repository stays clean.
bench_build() {
	local o=$1 dst=$1/klp-selftests/bench
	mkdir -p -- "$dst"
	rsync -rlp --checksum -- "$KLP_DIR/bench/" "$dst/"
	kmake "$o" modules M="$dst"
}

# bench_calls CORE ROWS: one boot with one CPU, where the clock counts instructions.
bench_calls() {
	local core=$1 console=$OUT/log/console-bench-$1.log o KLP_ICOUNT=shift=0 KLP_SMP=1
	o=$(kernel_dir "$core")
	B_CORE=$core B_ROWS=$2 B_RC='' B_COUNT=0
	vm_token
	echo "bench ../bench/calls.sh" | rootfs_job "$o" "MODE=tests" "TOKEN='$VM_TOKEN'" "LIMIT=1200"
	printf '%-44s log: %s\n' "boot, measure calls ($core)" "$(pretty "$console")"
	vm_lines "$o" "$console" 900 1500 bench_line
	if [ "$VM_END" != 'done' ] || [ "$B_RC" != 0 ] || [ "$B_COUNT" -eq 0 ]; then
		tail -n 15 -- "$console"
		die "the guest did not measure all calls ($VM_END, exit status ${B_RC:-none}); its log: $console"
	fi
	[ -z "$(vm_splats "$console")" ] || die "the kernel complained: $(vm_splats "$console" 3)"
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
	"error: "*) printf '    %s\n' "$line" ;;
	esac
}
