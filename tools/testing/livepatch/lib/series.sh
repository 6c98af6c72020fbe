# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# make series: overlay and edits as patches that `git am` applies to the base.
#
# series/groups says how they are cut. A group begins with "= title", then lines
# "+ glob" with the files it takes, then its message until the next group. A glob's * also
# matches slashes; "- glob" takes files out again. Each file must fall in exactly one group.

SERIES_TITLE="livepatch: a core written in Rust"

# Reads series/groups into GROUP_TITLE[], GROUP_BODY[] and GROUP_GLOBS[] (one per line).
series_groups() {
	local line n=-1
	GROUP_TITLE=() GROUP_BODY=() GROUP_GLOBS=()
	while IFS= read -r line || [ -n "$line" ]; do
		case $line in
		'#'*) ;;
		'= '*) n=$((n + 1)); GROUP_TITLE[n]=${line#= }; GROUP_BODY[n]=''; GROUP_GLOBS[n]='' ;;
		'+ '*|'- '*) [ "$n" -lt 0 ] || GROUP_GLOBS[n]+=$line$'\n' ;;
		*) [ "$n" -lt 0 ] || GROUP_BODY[n]+=$line$'\n' ;;
		esac
	done <"$REPO/series/groups"
	[ "$n" -ge 0 ] || die "series/groups has no group"
}

series_in_group() {
	local sign glob in=1
	while read -r sign glob; do
		# shellcheck disable=SC2053
		if [ -n "$glob" ] && [[ $2 == $glob ]]; then
			[ "$sign" = + ] && in=0 || in=1
		fi
	done <<<"${GROUP_GLOBS[$1]}"
	return "$in"
}

series_verb() {
	local name email f i owner bad=0
	local -a files
	name=$(git -C "$REPO" config user.name || true)
	email=$(git -C "$REPO" config user.email || true)
	[ -n "$name" ] && [ -n "$email" ] || die "series: git config user.name and user.email are needed for Signed-off-by"
	series_groups
	mapfile -t files <"$TREE.manifest"
	[ "${#files[@]}" -gt 0 ] || die "series: there is neither overlay nor edit"
	declare -gA SERIES_OWNER=()
	for f in "${files[@]}"; do
		owner=
		for i in "${!GROUP_TITLE[@]}"; do
			if series_in_group "$i" "$f"; then owner+="${owner:+ and }$((i + 1))"; SERIES_OWNER[$f]=$i; fi
		done
		case $owner in
		'') warn "series/groups: no group takes $f"; bad=1 ;;
		*' and '*) warn "series/groups: $f is in group $owner"; bad=1 ;;
		esac
	done
	[ "$bad" -eq 0 ] || die "series: every file must fall in exactly one group of series/groups"

	# Told to git by environment: the user's configuration (signing, hooks, templates)
	# has no part in this.
	export GIT_AUTHOR_NAME=$name GIT_AUTHOR_EMAIL=$email GIT_COMMITTER_NAME=$name GIT_COMMITTER_EMAIL=$email
	export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
	SERIES_TMP=$(mktemp -d)
	# shellcheck disable=SC2064
	trap "rm -rf -- '$SERIES_TMP'" EXIT
	step "cut the series" series-cut series_cut
	step "git am on the base" series-am series_am
	series_checkpatch
	say "series: $(find "$OUT/series" -name '*.patch' | wc -l) files in $OUT/series"
}

# A repository with nothing but the base content of the files that are edited.
series_base() {
	local f
	git init -q -b base "$1"
	while IFS= read -r f; do
		mkdir -p -- "$1/$(dirname -- "$f")"
		cp -p -- "$BASE/$f" "$1/$f"
	done <"$TREE.manifest.edited"
	git -C "$1" add -A -f
	git -C "$1" commit -q --allow-empty -m "base $BASE_VERSION"
}

series_cut() {
	local repo=$SERIES_TMP/cut i f n=0
	series_base "$repo"
	for i in "${!GROUP_TITLE[@]}"; do
		for f in "${!SERIES_OWNER[@]}"; do
			[ "${SERIES_OWNER[$f]}" = "$i" ] || continue
			mkdir -p -- "$repo/$(dirname -- "$f")"
			cp -p -- "$TREE/$f" "$repo/$f"
			git -C "$repo" add -f -- "$f"
		done
		if git -C "$repo" diff --cached --quiet; then
			echo "group $((i + 1)) has no file yet: ${GROUP_TITLE[i]}"
			continue
		fi
		printf '%s\n\n%s' "${GROUP_TITLE[i]}" "${GROUP_BODY[i]}" | git -C "$repo" commit -q -s -F -
		n=$((n + 1))
	done
	rm -rf -- "$OUT/series"
	mkdir -p -- "$OUT/series"
	git -C "$repo" format-patch -q --cover-letter --no-signature -M -o "$OUT/series" "-$n"
	series_cover
}

# The cover letter's two blanks: its title, and series/cover.txt (or the groups' titles).
series_cover() {
	local cover=$OUT/series/0000-cover-letter.patch text=$REPO/series/cover.txt
	[ -f "$text" ] || text=/dev/null
	awk -v title="$SERIES_TITLE" -v text="$text" -v base="$BASE_VERSION" '
		/\*\*\* SUBJECT HERE \*\*\*/ { sub(/\*\*\* SUBJECT HERE \*\*\*/, title) }
		/\*\*\* BLURB HERE \*\*\*/ {
			n = 0
			while ((getline line < text) > 0) { print line; n++ }
			if (!n) print "Applies to " base ". The Rust core sits beside the C one; Kconfig chooses."
			next
		}
		{ print }' "$cover" >"$cover.new"
	mv -- "$cover.new" "$cover"
}

# The patches, in order, without the cover letter.
series_patches() {
	find "$OUT/series" -name '*.patch' ! -name '0000-*' | LC_ALL=C sort
}

# What people will do with it, and that it gives exactly the tree we build.
series_am() {
	local repo=$SERIES_TMP/am f
	series_base "$repo"
	series_patches | xargs -d '\n' git -C "$repo" am -q
	while IFS= read -r f; do
		cmp -- "$TREE/$f" "$repo/$f"
	done <"$TREE.manifest"
}

# checkpatch, over each patch. FILE_PATH_CHANGES: MAINTAINERS comes with the last patch.
# What it is wrong about is in series/checkpatch.allow, with the reason.
series_checkpatch() {
	local p log=$LOGS/checkpatch.log
	: >"$log"
	while IFS= read -r p; do
		( cd -- "$BASE" && perl scripts/checkpatch.pl --no-summary --terse --show-types --showfile \
			--ignore FILE_PATH_CHANGES -- "$p" ) 2>&1 | series_checkpatch_filter >>"$log" || true
	done < <(series_patches)
	printf '%-44s log: %s\n' "checkpatch" "$(pretty "$log")"
	if [ -s "$log" ]; then
		head -n 40 -- "$log" | sed 's/^/    | /'
		die "checkpatch is not silent ($(wc -l <"$log") lines)"
	fi
}

# Drops lines that "TYPE GLOB # reason" in series/checkpatch.allow names.
series_checkpatch_filter() {
	local line path type t glob
	while IFS= read -r line; do
		path=${line%%:*}
		type=$(sed -nE 's/^[^:]*:[0-9]*:? *(ERROR|WARNING|CHECK):([A-Z0-9_]+):.*/\2/p' <<<"$line")
		while read -r t glob _; do
			# shellcheck disable=SC2053
			[ "$t" != "$type" ] || [[ $path != $glob ]] || continue 2
		done < <(grep -v '^#' -- "$REPO/series/checkpatch.allow" 2>/dev/null || true)
		printf '%s\n' "$line"
	done
}
