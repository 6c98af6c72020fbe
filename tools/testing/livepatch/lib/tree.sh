# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# base + overlay + edits = tree. Only files whose content changes are written, because
# the kernel's make goes by times: an unchanged file must not rebuild anything.

# Where the repository's files are the kernel's. Everything else is about the repository.
OVERLAY_DIRS=(arch Documentation include kernel lib rust samples scripts tools/lib tools/livepatch tools/objtool tools/testing/selftests)

# Overlay files, relative: tracked, or new and not ignored, and still there.
overlay_files() {
	git -C "$REPO" ls-files -z --cached --others --exclude-standard -- "${OVERLAY_DIRS[@]}" |
		while IFS= read -r -d '' f; do
			[ ! -f "$REPO/$f" ] || printf '%s\n' "$f"
		done | LC_ALL=C sort -u
}

# The edits are those for the newest base, but for those that another one has its own of, under the
# same name; one that is empty there edits nothing. An unknown version is taken for the newest.
edit_patches() {
	local newest own f
	newest=$(find "$REPO/series/edits" -mindepth 1 -maxdepth 1 -type d | sort -V | tail -n 1)
	own=$REPO/series/edits/$BASE_VERSION
	for f in "$newest"/*.patch; do
		[ ! -f "$own/${f##*/}" ] || f=$own/${f##*/}
		[ ! -s "$f" ] || printf '%s\n' "$f"
	done
}

# patch_targets PATCH: the files it edits (new files belong into the overlay).
patch_targets() {
	awk '/^--- / { old = $2 }
	     /^\+\+\+ / { new = $2; if (old == "/dev/null" || new == "/dev/null") print "!" (new == "/dev/null" ? old : new); else { sub(/^[^\/]*\//, "", new); print new } }' "$1" | LC_ALL=C sort -u
}

# edits_apply DIR: write the edited files (base content + patches) into DIR.
edits_apply() {
	local dir=$1 p f targets
	while IFS= read -r p; do
		targets=$(patch_targets "$p")
		for f in $targets; do
			case $f in
			!*) echo "error: ${p#"$REPO"/}: creates or removes ${f#!}; an edit only changes files, new ones belong into the overlay"; return 1 ;;
			esac
			[ -f "$BASE/$f" ] || { echo "error: ${p#"$REPO"/}: the base tree has no file $f"; return 1; }
			[ ! -f "$dir/$f" ] || continue
			mkdir -p -- "$dir/$(dirname -- "$f")"
			cp -p -- "$BASE/$f" "$dir/$f"
		done
		edit_one "$dir" "$p" || return 1
	done < <(edit_patches)
	find "$dir" -name '*.orig' -delete
	maintainers_apply "$dir" || return 1
}

# The repository's MAINTAINERS has only our entry: put it among those of the base.
maintainers_apply() {
	[ -f "$REPO/MAINTAINERS" ] || return 0
	python3 -B "$KLP_DIR/series/series.py" merge-maintainers "$BASE/MAINTAINERS" "$REPO/MAINTAINERS" >"$1/MAINTAINERS"
}

edit_one() {
	local dir=$1 p=$2 out f
	# -F0: a hunk lands where its context is, or not at all.
	if out=$(patch -d "$dir" -p1 -F0 -N --no-backup-if-mismatch <"$p" 2>&1); then
		printf '%s\n' "$out"
		return 0
	fi
	echo "error: ${p#"$REPO"/} does not apply to $BASE ($BASE_VERSION):"
	printf '%s\n' "$out" | awk '/^(checking|patching) file/ { f = $3 } /FAILED|malformed|ignored/ { print "error:   " f ": " $0 }'
	find "$dir" -name '*.rej' -print0 | xargs -0 -r cat | sed 's/^/error:   | /'
	return 1
}

# put SOURCE DEST: copy when the content or the mode differs; the new time is now.
put() {
	if [ -f "$2" ] && cmp -s -- "$1" "$2"; then
		[ -x "$1" ] && [ ! -x "$2" ] && chmod +x -- "$2"
		return 0
	fi
	mkdir -p -- "$(dirname -- "$2")"
	cp --no-preserve=timestamps --preserve=mode -- "$1" "$2.klp-new"
	mv -f -- "$2.klp-new" "$2"
	echo "put ${2#"$TREE"/}"
}

# tree_apply TREE MANIFEST: lay overlay and edits over a copy of the base.
# MANIFEST lists what we put there last time: what is no longer ours goes back to the base.
tree_apply() {
	local tree=$1 manifest=$2 edits f
	edits=$(mktemp -d)
	# shellcheck disable=SC2064
	trap "rm -rf -- '$edits'" EXIT
	edits_apply "$edits"
	overlay_files >"$edits.overlay"
	( cd -- "$edits" && find . -type f ! -name '*.rej' -printf '%P\n' | LC_ALL=C sort ) >"$edits.edited"

	while IFS= read -r f; do
		if [ -e "$BASE/$f" ]; then
			echo "error: overlay file $f exists in the base tree: make it an edit in series/edits/$BASE_VERSION"
			return 1
		fi
		put "$REPO/$f" "$tree/$f"
	done <"$edits.overlay"
	while IFS= read -r f; do
		put "$edits/$f" "$tree/$f"
	done <"$edits.edited"

	LC_ALL=C sort -u -- "$edits.overlay" "$edits.edited" >"$edits.all"
	if [ -f "$manifest" ]; then
		LC_ALL=C comm -23 -- "$manifest" "$edits.all" | while IFS= read -r f; do
			if [ -f "$BASE/$f" ]; then
				put "$BASE/$f" "$tree/$f"
			else
				echo "remove $f"
				rm -f -- "$tree/$f"
				rmdir -p --ignore-fail-on-non-empty -- "$(dirname -- "$tree/$f")" 2>/dev/null || true
			fi
		done
	fi
	mv -f -- "$edits.all" "$manifest"
	cp -f -- "$edits.edited" "$manifest.edited"
	rm -f -- "$edits.overlay" "$edits.edited"
}

# The tree that everything is built from.
tree_all() {
	step "source tree ($BASE_VERSION + overlay + edits)" "tree$BASE_KEY" locked tree_update
}

tree_update() {
	local origin
	origin="$BASE $(cat -- "$BASE.stamp" 2>/dev/null || true)"
	if [ "$(cat -- "$TREE.stamp" 2>/dev/null)" != "$origin" ]; then
		# Copied beside and moved: half a copy must not be taken for a whole one.
		rm -rf -- "$TREE.new" "$TREE" "$TREE.stamp" "$TREE.manifest"
		mkdir -p -- "$TREE.new"
		rsync -a --exclude=/.git -- "$BASE/" "$TREE.new/"
		mv -- "$TREE.new" "$TREE"
		printf '%s\n' "$origin" >"$TREE.stamp"
	elif [ -n "$BASE_KEY" ]; then
		# The user's own tree may have changed since; our files are not its business.
		touch -- "$TREE.manifest"
		sed 's:^:/:' "$TREE.manifest" >"$TREE.exclude"
		rsync -a --delete --exclude=/.git --exclude-from="$TREE.exclude" -- "$BASE/" "$TREE/"
		rm -f -- "$TREE.exclude"
	fi
	tree_apply "$TREE" "$TREE.manifest"
}

# make tree O=dir
tree_verb() {
	[ -n "$KLP_O" ] || die "tree: say where to: make tree O=dir"
	if [ -d "$KLP_O" ] && [ -n "$(ls -A -- "$KLP_O")" ]; then
		die "tree: $KLP_O exists and is not empty"
	fi
	mkdir -p -- "$KLP_O"
	KLP_O=$(cd -- "$KLP_O" && pwd -P)
	step "write source tree to $KLP_O" tree-out tree_write "$KLP_O"
	say "source tree: $KLP_O ($BASE_VERSION + overlay + edits)"
}

tree_write() {
	local manifest edits
	# Before the long copy: do the edits apply at all?
	edits=$(mktemp -d)
	edits_apply "$edits"
	rm -rf -- "$edits"
	manifest=$(mktemp -u)
	rsync -a --exclude=/.git -- "$BASE/" "$1/"
	tree_apply "$1" "$manifest"
	rm -f -- "$manifest" "$manifest.edited"
}
