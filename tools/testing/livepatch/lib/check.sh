# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# make check: everything that looks at our files without running them.

check_verb() {
	CHECK_BAD=0
	check_one "rustfmt" check_rustfmt
	check_one "clippy" check_clippy
	check_one "sizes and imports" check_structure
	check_one "fault points" check_fault_points
	check_one "htmldocs" check_htmldocs
	check_one "kernel-doc" check_kernel_doc
	check_one "rustdoc" check_rustdoc
	check_one "series, git am, checkpatch" series_verb
	check_one "shellcheck" check_shellcheck
	check_one "units of klp" check_units
	check_one "licences of klp's crates" check_licences
	[ "$CHECK_BAD" -eq 0 ] || die "check: not everything is as it should be"
	say "check: all well"
}

# Each check runs, whatever the others say. 77: it cannot be made on this machine.
check_one() {
	local title=$1 rc
	shift
	say
	say "== $title"
	set +e
	( set -e; "$@" )
	rc=$?
	set -e
	case $rc in
	0) say "   $title: ok" ;;
	77) say "   $title: not checked" ;;
	*) say "   $title: FAILED"; CHECK_BAD=1 ;;
	esac
}

# Rust files that are ours or edited by us, as they are in the tree.
check_rust_files() { grep -E '\.rs$' -- "$TREE.manifest" | sed "s:^:$TREE/:"; }

check_rustfmt() {
	local fmt
	fmt=$(PATH=$USER_PATH command -v rustfmt || true)
	if [ -z "$fmt" ]; then
		need_root "installing rustfmt" true
		step "install rustfmt-web" apt-rustfmt "${APT_INSTALL[@]}" rustfmt-web
		fmt=/usr/bin/rustfmt
	fi
	# --config-path: the kernel's rules, also for files that are not in its tree.
	# Host crates of ours follow them too.
	{
		check_rust_files
		git -C "$REPO" ls-files -z --cached --others --exclude-standard -- '*.rs' ':!kernel' ':!rust' ':!samples' |
			xargs -r -0 printf "$REPO/%s\n" | while IFS= read -r f; do [ ! -f "$f" ] || printf '%s\n' "$f"; done
	} | xargs -r -d '\n' "$fmt" --check --color never --edition 2021 --config-path "$TREE/.rustfmt.toml" --config skip_children=true
}

# clippy refuses crates that another rustc has built (E0514), so it must be the one of the
# compiler that builds the kernel, and it builds the whole Rust part in a folder of its own.
check_clippy() {
	local o log
	[ -x "${RUSTC%/*}/clippy-driver" ] || step "install rust-web-clippy" apt-clippy \
		need_root "installing clippy" "${APT_INSTALL[@]}" rust-web-clippy
	o=$(kernel_dir clippy)
	if [ ! -f "$o/.config" ] || [ "$(cat -- "$o/.klp-config" 2>/dev/null)" != "$(kernel_config_key clippy)" ]; then
		step "configure kernel (clippy)" "${o##*/}-config" locked kernel_configure clippy "$o"
	fi
	step "CLIPPY=1 build of our directories" "${o##*/}" locked check_clippy_build "$o"
	log=$LOGS/${o##*/}.log
	check_rust_files | sed "s:^$TREE/::" >"$o/klp-files"
	# Only what is said about our files: each message is a paragraph that names its place.
	if awk -v list="$o/klp-files" '
		BEGIN { while ((getline f < list) > 0) ours[f] = 1 }
		function flush() { if (mine) { printf "%s", text; bad = 1 } text = ""; mine = 0 }
		/^(warning|error)/ { flush(); inside = 1 }
		/^[ \t]*$/ { if (inside) flush(); inside = 0 }
		inside { text = text $0 "\n" }
		inside && /^ *--> / { p = $2; sub(/:[0-9]+:[0-9]+$/, "", p); sub(/^.*\/tree[^\/]*\//, "", p); sub(/^(\.\.\/)+/, "", p); if (p in ours) mine = 1 }
		END { flush(); exit !bad }' "$log"; then
		# What has been built is not looked at again: build it again next time.
		rm -f -- "$o"/rust/kernel.o "$o"/rust/libmacros.* "$o"/kernel/livepatch/*.o "$o"/samples/livepatch/*.o
		return 1
	fi
}

check_clippy_build() {
	local dir
	kmake "$1" CLIPPY=1 prepare
	for dir in kernel/livepatch samples/livepatch; do
		[ -d "$TREE/$dir" ] && kmake "$1" CLIPPY=1 "$dir/"
	done
}

# The suite kunit-x86 looks at them as well.
check_fault_points() {
	"$KLP_DIR/fault-points.py" >"$LOGS/fault-points.log" && return 0
	grep '^fail' -- "$LOGS/fault-points.log"
	return 1
}

check_shellcheck() {
	command -v shellcheck >/dev/null || { say "   no shellcheck on this machine"; return 77; }
	# SC1091, SC2034, SC2153, SC2154: parts of one program that know each other's variables.
	# SC2015: "A && B || die" is meant. SC2094: a lock file. SC2317, SC2329: called by
	# name. SC2319: $? of a condition is meant.
	shellcheck -x -e SC1091,SC2015,SC2034,SC2094,SC2153,SC2154,SC2317,SC2319,SC2329 "$KLP_DIR/klp-dev" "$KLP_DIR"/lib/*.sh "$KLP_DIR"/lib/suites/*.sh "$KLP_DIR"/guest/* "$REPO/.ci/run"
}

# Without the program itself, which is not on this machine.
check_units() {
	local dir unit rc=0
	command -v systemd-analyze >/dev/null || { say "   no systemd-analyze on this machine"; return 77; }
	dir=$(mktemp -d)
	for unit in "$REPO"/tools/livepatch/klp/systemd/*; do
		sed 's:/usr/sbin/klp :/bin/true :' "$unit" >"$dir/${unit##*/}"
	done
	systemd-analyze verify --man=no "$dir"/* || rc=1
	rm -rf -- "$dir"
	return $rc
}

check_licences() {
	PATH=$USER_PATH command -v cargo-deny >/dev/null || { say "   no cargo-deny on this machine"; return 77; }
	( cd -- "$REPO/tools/livepatch/klp" && PATH=$USER_PATH cargo deny --locked check licenses sources )
}
