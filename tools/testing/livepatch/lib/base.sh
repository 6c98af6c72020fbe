# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The pristine base tree: Debian's source package through apt, or the user's own tree.
# Sets BASE (never edited), BASE_VERSION (7.3), TREE (the copy that gets overlay and edits).

# The bases that there are edits for, the one that everything else is about first.
BASES=(7.3 7.2)
BASE_SUITE=trixie-backports

[[ " ${BASES[*]} " == *" ${KLP_BASE:=${BASES[0]}} "* ]] ||
	die "BASE=$KLP_BASE: there are no edits for that version, only for: ${BASES[*]} (KERNEL_SRC= is for a tree of your own)"
BASE_PACKAGE=linux-source-$KLP_BASE

base_version() {
	awk '$1 == "VERSION" { v = $3 } $1 == "PATCHLEVEL" { p = $3 } v != "" && p != "" { print v "." p; exit }' "$1/Makefile"
}

base_all() {
	if [ -n "$KLP_KERNEL_SRC" ]; then
		base_own
	else
		base_package
	fi
	BASE_VERSION=$(base_version "$BASE")
}

# The user's own tree. Its copy and its build folders have names of their own, so that
# going to and fro between trees keeps every build incremental.
base_own() {
	BASE=$(cd -- "$KLP_KERNEL_SRC" 2>/dev/null && pwd -P) || die "KERNEL_SRC=$KLP_KERNEL_SRC: no such folder"
	[ -f "$BASE/Kbuild" ] && [ -f "$BASE/kernel/livepatch/core.c" ] || die "KERNEL_SRC=$BASE is not a kernel source tree"
	[ ! -e "$BASE/.config" ] && [ ! -d "$BASE/include/config" ] ||
		die "KERNEL_SRC=$BASE has been built in: run 'make mrproper' there, or give a pristine tree (git worktree add)"
	BASE_KEY=-$(printf '%s' "$BASE" | sha256sum | cut -c1-8)
	TREE=$CACHE/tree$BASE_KEY
}

base_package() {
	BASE=$CACHE/base/$BASE_PACKAGE
	BASE_KEY=
	# The others have folders of their own, so that going to and fro keeps every build incremental.
	[ "$KLP_BASE" = "${BASES[0]}" ] || BASE_KEY=-$KLP_BASE
	TREE=$CACHE/tree$BASE_KEY
	# The stamp is written last: a broken unpack is never taken for a whole one.
	[ ! -f "$BASE.stamp" ] || return 0
	local conf dir=$CACHE/apt/base deb
	type -P apt-get >/dev/null ||
		die "no apt-get on this machine: give a kernel tree of your own by KERNEL_SRC=/path/to/linux"
	conf=$(deps_apt_config base "$BASE_SUITE")
	deb=$(base_deb "$dir")
	if [ -z "$deb" ]; then
		say "base tree: package $BASE_PACKAGE of $BASE_SUITE, from this machine's mirror, verified by apt"
		step "apt-get update ($BASE_SUITE)" base-update env "APT_CONFIG=$conf" apt-get update
		step "download $BASE_PACKAGE" base-download base_download "$conf" "$dir"
		deb=$(base_deb "$dir")
	fi
	step "unpack $BASE_PACKAGE" base-unpack base_unpack "$deb"
}

base_deb() {
	local f
	for f in "$1/$BASE_PACKAGE"_*.deb; do
		[ ! -f "$f" ] || printf '%s\n' "$f"
	done | tail -n 1
}

base_download() {
	if ! APT_CONFIG=$1 apt-cache show "$BASE_PACKAGE" >/dev/null 2>&1; then
		echo "error: $BASE_SUITE has no package $BASE_PACKAGE (any more)."
		echo "error: give a kernel tree of your own instead: KERNEL_SRC=/path/to/linux"
		return 1
	fi
	# In a folder of its own: a download that is cut short must not look like a package.
	rm -rf -- "$2/download"
	mkdir -p -- "$2/download"
	( cd -- "$2/download" && APT_CONFIG=$1 apt-get download "$BASE_PACKAGE" )
	mv -- "$2/download/"*.deb "$2/"
	rm -rf -- "$2/download"
}

base_unpack() {
	local tmp=$CACHE/base/unpack
	rm -rf -- "$tmp" "$BASE"
	mkdir -p -- "$tmp"
	dpkg-deb -x "$1" "$tmp/deb"
	tar -C "$tmp" -xJf "$tmp/deb/usr/src/$BASE_PACKAGE.tar.xz"
	mv -- "$tmp/$BASE_PACKAGE" "$BASE"
	rm -rf -- "$tmp"
	basename -- "$1" >"$BASE.stamp"
}
