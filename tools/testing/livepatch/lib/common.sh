# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Paths, messages, steps with a log each, the build lock. Nothing about kernels.

export LC_ALL=C

REPO=$(cd -- "$KLP_DIR/../../.." && pwd -P)
OUT=$REPO/out
CACHE=${KLP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/rust-livepatch}
LOGS=$CACHE/log

KLP_CORE=${KLP_CORE:-rust}
KLP_V=${KLP_V:-}
KLP_O=${KLP_O:-}
KLP_KERNEL_SRC=${KLP_KERNEL_SRC:-}
KLP_FLAVOUR=${KLP_FLAVOUR:-}
KLP_PART=${KLP_PART:-}
KLP_ARCH=${KLP_ARCH:-x86_64}
JOBS=$(($(nproc) + 1))
USER_PATH=$PATH

# Our own caller is often make: its flags and variables are not for the kernel's make.
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES O V BASE ARCH LLVM CORE FLAVOUR PART KERNEL_SRC RUSTC BINDGEN APT_CONFIG

mkdir -p -- "$LOGS"

say() { printf '%s\n' "$*"; }
warn() { printf 'klp-dev: %s\n' "$*" >&2; }
die() { printf 'klp-dev: %s\n' "$*" >&2; exit 1; }

case $KLP_CORE in
rust|c) ;;
*) die "CORE=$KLP_CORE: must be rust or c" ;;
esac

# Paths in messages: short, but still good for copy and paste.
pretty() { printf '%s' "${1/#"$HOME"\//\~/}"; }

# useful_lines LOG: what a person needs to see of a failed step's log.
# The first errors come first: later ones are mostly their consequences.
useful_lines() {
	local lines
	lines=$(grep -E -A3 -e '(^|[^-_[:alnum:]])(error(\[E[0-9]+\])?:|fatal error|undefined (reference|symbol))' \
		-e '\*\*\*' -e '^E: ' -e 'FAILED' -- "$1" | head -n 15 || true)
	[ -n "$lines" ] || lines=$(tail -n 15 -- "$1")
	printf '%s\n' "$lines" | sed 's/^/    | /'
}

# step TITLE LOGNAME COMMAND...: run it, all its output into a log.
# Must not be called in a condition: bash would ignore `set -e` inside COMMAND.
step() {
	local title=$1 log=$LOGS/$2.log start=$SECONDS rc
	shift 2
	printf '%-44s log: %s\n' "$title" "$(pretty "$log")"
	set +e
	if [ "$KLP_V" = 1 ]; then
		( set -e; "$@" ) 2>&1 | tee -- "$log"
		rc=${PIPESTATUS[0]}
	else
		( set -e; "$@" ) >"$log" 2>&1
		rc=$?
	fi
	set -e
	if [ "$rc" -ne 0 ]; then
		printf '%-44s FAILED after %d s; the useful lines of %s:\n' "$title" \
			$((SECONDS - start)) "$(pretty "$log")" >&2
		useful_lines "$log" >&2
		exit 1
	fi
	[ $((SECONDS - start)) -lt 2 ] || printf '%-44s done in %d s\n' "$title" $((SECONDS - start))
}

# locked COMMAND...: one build at a time in the cache. The kernel's build folders and
# the tree are shared by all clones of this repository and by people who call make there
# themselves (they take the same lock: flock ~/.cache/rust-livepatch/build.lock make ...).
locked() {
	(
		if ! flock -n 9; then
			say "waiting for another build to release $(pretty "$CACHE/build.lock")"
			flock 9
		fi
		"$@" 9>&-
	) 9>"$CACHE/build.lock"
}

# write_if_changed FILE: stdin into FILE, leaving its time alone when nothing changes.
write_if_changed() {
	local tmp
	tmp=$(mktemp "$1.XXXXXX")
	cat >"$tmp"
	if cmp -s -- "$tmp" "$1"; then
		rm -f -- "$tmp"
	else
		mv -f -- "$tmp" "$1"
	fi
}
