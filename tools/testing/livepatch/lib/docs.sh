# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# make check, its part on documentation: what a maintainer runs over a series. A warning about a file
# of ours is an error; what the base's own files are warned about is not ours.

SPHINX_VERSION=9.0.4

# The files of ours that are documentation, or C with kernel-doc in it.
docs_files() { grep -E '^Documentation/.*\.rst$' -- "$TREE.manifest"; }
docs_c_files() { grep -E '^(include|kernel)/.*\.[ch]$' -- "$TREE.manifest" | grep -v '/tests/'; }

# In a folder of its own: the distribution's is too old for the kernel's documentation.
docs_sphinx() {
	local dir=$CACHE/sphinx
	[ "$(cat -- "$dir/.version" 2>/dev/null)" != "$SPHINX_VERSION" ] || return 0
	rm -rf -- "$dir"
	python3 -m venv "$dir" || { say "   python3-venv is missing"; return 77; }
	"$dir/bin/pip" install -q "sphinx==$SPHINX_VERSION" pyyaml
	printf '%s\n' "$SPHINX_VERSION" >"$dir/.version"
}

check_htmldocs() {
	local log=$LOGS/htmldocs.log
	docs_sphinx || return
	printf '%-44s log: %s\n' "htmldocs SPHINXDIRS=livepatch" "$(pretty "$log")"
	PATH=$CACHE/sphinx/bin:$PATH make -C "$TREE" O="$CACHE/build-docs$BASE_KEY" htmldocs SPHINXDIRS=livepatch \
		>"$log" 2>&1
	docs_said_nothing "$log" < <(docs_files; docs_c_files)
}

# What the base's own comments are warned about stays the same but for the line numbers.
check_kernel_doc() {
	local log=$LOGS/kernel-doc.log
	comm -23 <(docs_kernel_doc "$TREE") <(docs_kernel_doc "$BASE") >"$log"
	[ ! -s "$log" ] || { head -n 20 -- "$log" | sed 's/^/    | /'; return 1; }
}

# docs_kernel_doc TREE: what kernel-doc says about those of our C files that are there.
docs_kernel_doc() {
	( cd -- "$1" && docs_c_files | while IFS= read -r f; do [ ! -f "$f" ] || printf '%s\n' "$f"; done |
		xargs -d '\n' "$TREE/scripts/kernel-doc" -none -Wall 2>&1 ) | sed -E 's/:[0-9]+ /: /' | sort -u
}

# The crates in rust/, with our files among them. Links between items are checked.
check_rustdoc() {
	local o log=$LOGS/rustdoc.log
	o=$(kernel_dir clippy)
	[ -f "$o/.config" ] || kernel_only clippy
	printf '%-44s log: %s\n' "rustdoc" "$(pretty "$log")"
	locked kmake "$o" rustdoc >"$log" 2>&1
	docs_said_nothing "$log" < <(check_rust_files | sed "s:^$TREE/::")
}

# docs_said_nothing LOG: no line of it is about one of the files on stdin.
docs_said_nothing() {
	local said
	said=$(grep -F -f <(sed 's/$/:/') -- "$1" || true)
	[ -z "$said" ] || { head -n 20 <<<"$said" | sed 's/^/    | /'; return 1; }
}

# The house: sizes and imports.
check_structure() {
	"$KLP_DIR/structure.py" >"$LOGS/structure.log" && return 0
	grep '^error' -- "$LOGS/structure.log"
	return 1
}
