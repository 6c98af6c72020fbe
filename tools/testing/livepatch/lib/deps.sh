# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# What must be on the machine: packages, bindgen, QEMU; and the environment they make.

QEMU_MIN=10
BINDGEN_VERSION=0.72.1

# The compilers. rustc has to be there with its library as source, and with the LLVM version of
# clang (CONFIG_RUST_INLINE_HELPERS). An empty suffix: tools without one.
LLVM_SUFFIX=${KLP_LLVM_SUFFIX--22}
RUSTC=${KLP_RUSTC:-/usr/bin/rustc}
BINDGEN=${KLP_BINDGEN:-$CACHE/bindgen/bin/bindgen}

# What LLVM= has to be in the kernel's make.
LLVM_MAKE=${LLVM_SUFFIX:-1}

# What installs packages. It waits for who else does just now: a second run, the machine's own updates.
APT_INSTALL=(apt-get -o DPkg::Lock::Timeout=600 install -y --no-install-recommends)

# package|what it is known by where it was not installed as one|why. All are in the
# distribution's own archive.
deps_packages() {
	cat <<EOF
make|make|the kernel's build
gcc|gcc|the kernel's host tools
libc6-dev|<stdlib.h>|headers for host tools and guest programs
flex|flex|Kconfig and dtc parsers
bison|bison|Kconfig and dtc parsers
bc|bc|kernel/time constants
perl|perl|checkpatch and build scripts
python3|/usr/bin/python3|kunit.py
git|git|series
patch|patch|applies series/edits
patchutils|filterdiff|klp-build
rsync|rsync|copies trees
xz-utils|xz|unpacks the base tree
tar|tar|unpacks the base tree
cpio|cpio|guest initramfs
kmod|insmod|modules, host and guest
pahole|pahole|BTF and debugging information
gawk|gawk|klp-build, selftests in the guest
procps|sysctl|sysctl in the guest
diffutils|cmp|selftests in the guest
util-linux|setsid|dmesg, flock, setsid
busybox-static|busybox|reboot in the guest
libelf-dev|<gelf.h>|objtool
libssl-dev|<openssl/evp.h>|kernel certificates and host tools
libxxhash-dev|<xxhash.h>|objtool (klp checksums)
clang$LLVM_SUFFIX|clang$LLVM_SUFFIX|the kernel's C compiler
lld$LLVM_SUFFIX|ld.lld$LLVM_SUFFIX|the kernel's linker
llvm$LLVM_SUFFIX|llvm-strip$LLVM_SUFFIX|the kernel's binutils
ca-certificates|/etc/ssl/certs|cargo downloads
EOF
	# Who names one of these has what belongs to it.
	[ -n "${KLP_LLVM_SUFFIX+given}${KLP_BINDGEN:-}" ] ||
		echo "libclang$LLVM_SUFFIX-dev|-|bindgen"
	[ -n "${KLP_RUSTC:-}" ] || cat <<EOF
rustc-web|$RUSTC|the kernel's Rust compiler, same LLVM as clang above
rust-web-src|-|Rust's core library as source
EOF
}

# deps_there WHAT: a program, a header of C, a file. Programs of LLVM may have a folder of their own.
# What leaves no trace that could be looked for (-) is there where nobody could install it.
DEPS_PATH=/usr/lib/llvm$LLVM_SUFFIX/bin:$USER_PATH:/usr/sbin:/sbin
deps_there() {
	case $1 in
	-) ! type -P dpkg-query >/dev/null ;;
	'<'*) gcc -E - <<<"#include $1" >/dev/null 2>&1 ;;
	/*) [ -e "$1" ] ;;
	*) PATH=$DEPS_PATH type -P "$1" >/dev/null ;;
	esac
}

# Missing ones of the packages named on stdin, with the reason.
deps_missing() {
	local list installed name what why
	list=$(cat)
	installed=$({ dpkg-query -W -f '${db:Status-Abbrev}${Package}\n' 2>/dev/null || true; } | sed -n 's/^ii *//p')
	while IFS='|' read -r name what why; do
		grep -qxF -- "$name" <<<"$installed" || deps_there "$what" || printf '%s|%s\n' "$name" "$why"
	done <<<"$list"
}

# need_root WHAT COMMAND...: run COMMAND, or tell the user how to.
need_root() {
	local what=$1
	shift
	if [ "$(id -u)" -ne 0 ]; then
		printf 'klp-dev: %s needs root. Run this and start again:\n\n    sudo env DEBIAN_FRONTEND=noninteractive' "$what" >&2
		printf ' %q' "$@" >&2
		printf '\n\n' >&2
		exit 1
	fi
	DEBIAN_FRONTEND=noninteractive "$@"
}

deps_apt() { deps_apt_only ''; }

# deps_apt_only "NAME...": only these of them.
deps_apt_only() {
	deps_packages | awk -F'|' -v only=" $1 " 'only ~ /^ *$/ || index(only, " " $1 " ")' | deps_install
}

# What only the plots of make bench need.
deps_plots() {
	deps_install <<<"python3-matplotlib|/usr/lib/python3/dist-packages/matplotlib|plots of make bench"
}

# Installs what is missing of lines like those of deps_packages.
deps_install() {
	local missing names
	missing=$(deps_missing)
	[ -n "$missing" ] || return 0
	say "packages to install:"
	awk -F'|' '{ printf "    %-20s %s\n", $1, $2 }' <<<"$missing"
	type -P apt-get >/dev/null ||
		die "no apt-get on this machine: install what is listed above (by Debian's names) and start again"
	mapfile -t names < <(cut -d'|' -f1 <<<"$missing")
	[ "$(id -u)" -ne 0 ] || step "apt-get update" apt-update apt-get update
	if [ "$(id -u)" -ne 0 ]; then
		need_root "installing packages" "${APT_INSTALL[@]}" "${names[@]}"
	fi
	step "install ${#names[@]} packages" apt-install \
		need_root "installing packages" "${APT_INSTALL[@]}" "${names[@]}"
}

# The machine's own mirror of the distribution's main archive, as "URI KEYRING":
# read from its apt sources (both formats), so no host name stands in any script.
deps_mirror() {
	local codename found
	codename=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
	[ -n "$codename" ] || die "/etc/os-release names no VERSION_CODENAME"
	found=$(
		{
			{ cat /etc/apt/sources.list.d/*.sources 2>/dev/null || true; } | awk -v suite="$codename" '
				function flush(  i, n, s) {
					n = split(f["suites"], s, " ")
					for (i = 1; i <= n; i++)
						if (s[i] == suite && f["types"] ~ /(^| )deb( |$)/ &&
						    f["enabled"] != "no" && f["components"] ~ /(^| )main( |$)/) {
							split(f["uris"], u, " ")
							print u[1], f["signed-by"]
						}
					delete f
				}
				/^#/ { next }
				/^[ \t]*$/ { flush(); next }
				/^[^ \t].*:/ { k = tolower($0); sub(/:.*/, "", k); v = $0; sub(/^[^:]*:[ \t]*/, "", v); f[k] = v; next }
				{ f[k] = f[k] " " $0 }
				END { flush() }'
			{ cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null || true; } | awk -v suite="$codename" '
				$1 != "deb" { next }
				{
					line = $0; key = ""
					if (match(line, /\[[^]]*\]/)) {
						opts = substr(line, RSTART + 1, RLENGTH - 2)
						line = substr(line, 1, RSTART - 1) substr(line, RSTART + RLENGTH)
						if (match(opts, /signed-by=[^ ]*/)) key = substr(opts, RSTART + 10, RLENGTH - 10)
					}
					split(line, w, " ")
					if (w[3] == suite && line ~ / main( |$)/) print w[2], key
				}'
		} | head -n 1
	)
	[ -n "$found" ] || die "no apt source of suite '$codename', component main, on this machine: use KERNEL_SRC= and install QEMU $QEMU_MIN yourself"
	local uri=${found%% *} key=${found#* }
	case $key in
	/*) [ -r "$key" ] || key= ;;
	*) key= ;;
	esac
	[ -n "$key" ] || key=/usr/share/keyrings/debian-archive-keyring.gpg
	[ -r "$key" ] || die "no archive keyring at $key"
	printf '%s %s\n' "$uri" "$key"
}

# deps_apt_config NAME SUITE...: an apt configuration of our own with just these suites of
# the machine's mirror; prints its file. The machine's configuration stays as it is.
deps_apt_config() {
	local dir=$CACHE/apt/$1 mirror uri key suite
	shift
	mirror=$(deps_mirror)
	uri=${mirror%% *} key=${mirror#* }
	mkdir -p -- "$dir/etc" "$dir/lists/partial" "$dir/cache/archives/partial"
	for suite in "$@"; do
		printf 'deb [signed-by=%s] %s %s main\n' "$key" "$uri" "$suite"
	done | write_if_changed "$dir/etc/sources.list"
	# Sandbox::User: the _apt user cannot enter a cache in somebody's home.
	write_if_changed "$dir/apt.conf" <<-EOF
		Dir::Etc::SourceList "$dir/etc/sources.list";
		Dir::Etc::SourceParts "/dev/null";
		Dir::State::Lists "$dir/lists";
		Dir::Cache "$dir/cache";
		APT::Sandbox::User "root";
	EOF
	printf '%s\n' "$dir/apt.conf"
}

qemu_major() {
	{ "$ARCH_QEMU" --version 2>/dev/null || true; } | sed -n '1s/.*version \([0-9]*\)\..*/\1/p'
}

# QEMU before 10 races between its own threads and code patching in the guest: healthy
# kernels crash in the middle of an instruction. So take it from backports where need be.
deps_qemu() {
	local major codename conf
	major=$(qemu_major)
	[ "${major:-0}" -lt "$QEMU_MIN" ] || return 0
	codename=$(. /etc/os-release && printf '%s' "$VERSION_CODENAME")
	type -P apt-get >/dev/null ||
		die "$ARCH_QEMU $QEMU_MIN or newer is needed (here: ${major:-none}); older ones break live code patching"
	say "QEMU to install: version $QEMU_MIN or newer (here: ${major:-none}); older ones break live code patching"
	conf=$(deps_apt_config qemu "$codename" "$codename-backports")
	if [ "$(id -u)" -ne 0 ]; then
		need_root "installing QEMU" env "APT_CONFIG=$conf" sh -c \
			"apt-get update && ${APT_INSTALL[*]} -t $codename-backports $ARCH_QEMU_PACKAGE"
	fi
	step "apt-get update ($codename-backports)" apt-qemu-update env "APT_CONFIG=$conf" apt-get update
	step "install $ARCH_QEMU_PACKAGE" apt-qemu need_root "installing QEMU" env "APT_CONFIG=$conf" \
		"${APT_INSTALL[@]}" -t "$codename-backports" "$ARCH_QEMU_PACKAGE"
	major=$(qemu_major)
	[ "${major:-0}" -ge "$QEMU_MIN" ] || die "QEMU is still ${major:-missing} after installing it from $codename-backports"
}

# A cargo from the user's PATH (rustup) or from the distribution.
deps_cargo() {
	if PATH=$USER_PATH command -v cargo >/dev/null; then return 0; fi
	type -P apt-get >/dev/null || die "cargo is needed, for bindgen and for tests on the host"
	say "packages to install:"
	say "    cargo-web            bindgen, tests on the host"
	if [ "$(id -u)" -ne 0 ]; then
		need_root "installing cargo" "${APT_INSTALL[@]}" cargo-web
	fi
	step "apt-get update" apt-update apt-get update
	step "install cargo-web" apt-cargo need_root "installing cargo" "${APT_INSTALL[@]}" cargo-web
}

deps_bindgen() {
	local have
	# One that the user names may be of any version.
	[ -z "${KLP_BINDGEN:-}" ] || return 0
	have=$("$BINDGEN" --version 2>/dev/null | awk '{ print $2 }' || true)
	[ "$have" != "$BINDGEN_VERSION" ] || return 0
	say "bindgen $BINDGEN_VERSION to build (the distribution's is too old for the kernel)"
	deps_cargo
	step "cargo install bindgen-cli $BINDGEN_VERSION" bindgen env "PATH=$USER_PATH" "CARGO_TARGET_DIR=$CACHE/bindgen-target" \
		cargo install --locked --force bindgen-cli --version "$BINDGEN_VERSION" --root "$CACHE/bindgen"
	rm -rf -- "$CACHE/bindgen-target"
}

# Kernel builds: by default /usr/bin before rustup's directory, whose rustc has no library sources
# and whose rustdoc breaks doctests (E0514). PATH rather than RUSTC=: klp-build and
# kunit.py call make by themselves.
deps_environment() {
	local version tool
	for tool in "$RUSTC" "$BINDGEN"; do
		case $tool in
		/*/rustc|/*/bindgen) [ -x "$tool" ] || die "$tool: no such program" ;;
		*) die "$tool: the kernel's build looks for rustc and bindgen by PATH: give a whole path that ends so" ;;
		esac
	done
	PATH=${BINDGEN%/*}:/usr/lib/llvm$LLVM_SUFFIX/bin:${RUSTC%/*}:$USER_PATH
	version=$("$RUSTC" --version | awk '{ print $2 }')
	# Where Debian has it, and where all others do.
	RUST_LIB_SRC=/usr/src/rustc-$version/library
	[ -d "$RUST_LIB_SRC" ] || RUST_LIB_SRC=$("$RUSTC" --print sysroot)/lib/rustlib/src/rust/library
	[ -d "$RUST_LIB_SRC" ] || die "no Rust library source at $RUST_LIB_SRC (package rust-web-src; rustup component add rust-src)"
	export PATH RUST_LIB_SRC
}

# Enough to unpack and patch a tree.
deps_for_tree() {
	local tool
	for tool in patch rsync xz tar git perl python3; do
		command -v "$tool" >/dev/null || { deps_apt; return; }
	done
}

deps_all() {
	deps_apt
	deps_qemu
	deps_bindgen
	deps_environment
}
