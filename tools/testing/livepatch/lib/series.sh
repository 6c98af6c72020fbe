# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# make series: overlay and edits as patches that `git am` applies to the base.
# make check-series: and after each of them the tree builds.
#
# The work is done in series/*.py. series/groups says how the patches are cut, and how to say it.

# series_py COMMAND: with all that it has to know.
series_py() {
	python3 -B "$KLP_DIR/series/series.py" --repo "$REPO" --base "$BASE" --tree "$TREE" \
		--manifest "$TREE.manifest" --out "$OUT/series" "$1"
}

# Signed-off-by, and the date of our newest commit: the same tree gives the same patches.
series_identity() {
	local name email date
	name=$(git -C "$REPO" config user.name || true)
	email=$(git -C "$REPO" config user.email || true)
	[ -n "$name" ] && [ -n "$email" ] || die "series: git config user.name and user.email are needed for Signed-off-by"
	date=$(git -C "$REPO" log -1 --format=%cI)
	export GIT_AUTHOR_NAME=$name GIT_AUTHOR_EMAIL=$email GIT_AUTHOR_DATE=$date
	export GIT_COMMITTER_NAME=$name GIT_COMMITTER_EMAIL=$email GIT_COMMITTER_DATE=$date
}

series_cut() {
	series_identity
	step "tests of series/*.py" series-tests python3 -B -m unittest discover -s "$KLP_DIR/series"
	step "MAINTAINERS lists what is ours" series-maintainers series_py maintainers
	step "cut the series" series-cut series_py cut
	grep '^note:' -- "$LOGS/series-cut.log" || true
}

series_verb() {
	series_cut
	step "git am on the base" series-am series_py am
	step "checkpatch --strict" checkpatch series_py checkpatch
	grep '^note:' -- "$LOGS/checkpatch.log" || true
	series_py summary
}

# CHECK_SERIES_FROM=n, CHECK_SERIES_TO=n: only these patches.
check_series_verb() {
	series_cut
	export KLP_BUILD_LOCK=$CACHE/build.lock KLP_LOGS=$LOGS KLP_SERIES_CACHE=$CACHE/series$BASE_KEY
	export KLP_LLVM=$LLVM_MAKE KLP_JOBS=$JOBS KLP_CONFIGS=$KLP_DIR/config
	say
	series_py check
}
