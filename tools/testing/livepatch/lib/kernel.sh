# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Configure and build: kernel, modules, samples, upstream's and our selftest modules.
# A kernel's name is that of its core, rust or c, or of what else it is configured for: a flavour
# (distro; c-distro with the C core), a part of test-debug (debug-kasan), doctest, clippy.

# How others configure their kernels, and which of the kernel's own checkers there are.
FLAVOURS=(distro cfi rt none)
DEBUG_PARTS=(kasan lockdep kmemleak failslab kcsan)

# The other architectures have no use for these, but perhaps one of their own.
arch_is_native || FLAVOURS=("${ARCH_FLAVOURS[@]}")

[[ -z $KLP_FLAVOUR || " ${FLAVOURS[*]} " == *" $KLP_FLAVOUR "* ]] ||
	die "FLAVOUR=$KLP_FLAVOUR: $KLP_ARCH has none of that name, only: ${FLAVOURS[*]:-none at all}"

# The name of the kernel that CORE= and FLAVOUR= ask for.
kernel_wanted() {
	case $KLP_CORE/$KLP_FLAVOUR in
	*/) printf '%s\n' "$KLP_CORE" ;;
	rust/*) printf '%s\n' "$KLP_FLAVOUR" ;;
	*) printf '%s\n' "$KLP_CORE-$KLP_FLAVOUR" ;;
	esac
}

kernel_core() {
	case $1 in
	c|c-*) echo c ;;
	*) echo rust ;;
	esac
}

kernel_dir() {
	local arch=${KLP_ARCH/x86_64/x86}
	case $1 in
	rust) printf '%s\n' "$CACHE/build-$arch$BASE_KEY" ;;
	*) printf '%s\n' "$CACHE/build-$arch-$1$BASE_KEY" ;;
	esac
}

# The one with the KUnit tests of the core.
kernel_kunit() { arch_is_native && echo doctest || kernel_wanted; }

kernel_fragments() {
	local name
	# One before the other, as a later line overrides an earlier one.
	case $1 in
	c) set -- core-c ;;
	# On other architectures one kernel has to do for both: each takes its time to build.
	rust) arch_is_native && set -- core-rust || set -- core-rust kunit ;;
	# With the KUnit tests.
	clippy|doctest) set -- core-rust doctest ;;
	# Where allocations fail, the other two look at the way back.
	debug-failslab) set -- core-rust kunit debug debug-kasan debug-kmemleak ;;
	debug-*) set -- core-rust kunit debug "$1" ;;
	c-*) set -- core-c "flavour-${1#c-}" ;;
	*) set -- core-rust kunit "flavour-$1" ;;
	esac
	set -- vm "arch-$KLP_ARCH" "$@"
	for name; do printf '%s\n' "$KLP_DIR/config/$name.config"; done
}

# kmake O ARGUMENTS...
kmake() {
	local o=$1
	shift
	make -C "$TREE" O="$o" ARCH="$KLP_ARCH" LLVM="$LLVM_MAKE" -j"$JOBS" "$@"
}

# Everything that a .config comes from: when this is the same, so is the .config.
kernel_config_key() {
	{
		kernel_fragments "$1" | xargs -d '\n' cat
		grep -E '(^|/)Kconfig[^/]*$' -- "$TREE.manifest" | sed "s:^:$TREE/:" | xargs -r -d '\n' cat
		cat "$TREE.stamp"
		"$RUSTC" --version
		"clang$LLVM_SUFFIX" --version
		"$BINDGEN" --version
	} | sha256sum
}

# kernel_seed O: a new build folder begins as a copy of the one of the plain kernel, if that is there: most
# of what is built is the same. make sees what is not, by times and commands. Not where objtool is built:
# the folder is in its commands, so it is built anew, and then all that it has looked at.
kernel_seed() {
	local o=$1 plain
	plain=$(kernel_dir rust)
	[ ! -e "$o" ] && [ -f "$plain/.klp-config" ] && [ -f "$plain/vmlinux" ] && [ ! -e "$plain/tools/objtool" ] || return 0
	rm -rf -- "$o.new"
	rsync -a --exclude='/klp-*' --exclude=/.klp-config -- "$plain/" "$o.new/"
	mv -- "$o.new" "$o"
}

kernel_configure() {
	local kernel=$1 o=$2
	kernel_seed "$o"
	local -a fragments
	mapfile -t fragments < <(kernel_fragments "$kernel")
	mkdir -p -- "$o"
	# The key says that .config is whole: away with it until that is so again.
	rm -f -- "$o/.klp-config"
	[ ! -f "$o/.config" ] || cp -pf -- "$o/.config" "$o/.klp-config-before"
	kmake "$o" -s tinyconfig
	( cd -- "$TREE" && scripts/kconfig/merge_config.sh -m -O "$o" "$o/.config" "${fragments[@]}" )
	kmake "$o" -s olddefconfig
	if ! kernel_config_check "$o/.config" "${fragments[@]}"; then
		grep -q '^CONFIG_RUST=y' -- "$o/.config" || kmake "$o" rustavailable || true
		return 1
	fi
	# The same again: with its old time, so that nothing is built anew.
	if cmp -s -- "$o/.config" "$o/.klp-config-before"; then
		mv -f -- "$o/.klp-config-before" "$o/.config"
	fi
	kernel_config_key "$kernel" >"$o/.klp-config"
}

# Kconfig drops what it cannot have without a word: every line of the fragments is
# checked against the result. A later fragment may override an earlier one.
kernel_config_check() {
	local config=$1
	shift
	awk '
	function note(line,  name, value) {
		if (line ~ /^CONFIG_[A-Z0-9a-z_]+=/) {
			name = line; sub(/=.*/, "", name); value = substr(line, length(name) + 2)
		} else if (line ~ /^# CONFIG_[A-Z0-9a-z_]+ is not set/) {
			split(line, w, " "); name = w[2]; value = "n"
		} else
			return ""
		val = value
		return name
	}
	FILENAME == ARGV[1] { if ((n = note($0)) != "") have[n] = val; next }
	{ if ((n = note($0)) != "") { want[n] = val; from[n] = FILENAME ":" FNR } }
	END {
		bad = 0
		for (n in want) {
			h = (n in have) ? have[n] : "n"
			if (h != want[n]) {
				printf "error: %s: %s=%s did not take effect, it is %s (a dependency is missing, or Kconfig has no such symbol)\n", from[n], n, want[n], h
				bad = 1
			}
		}
		exit bad
	}' "$config" "$@"
}

kernel_build() {
	kmake "$1" "$ARCH_TARGET" modules
}

# Selftest modules (upstream's, unmodified, and ours) and the helper program, built in
# a copy: the tree stays as clean as a distribution's.
kernel_selftests() {
	local o=$1 src=$TREE/tools/testing/selftests/livepatch dst=$1/klp-selftests
	kernel_selftests_copy "$src" "$dst"
	# Kbuild does not see that the configuration has changed under an external module.
	if [ ! "$dst/.configured" -nt "$o/include/generated/autoconf.h" ]; then
		find "$dst/livepatch/test_modules" \( -name '*.o' -o -name '*.ko' -o -name '*.mod' -o -name '*.mod.c' \) -delete
	fi
	kmake "$o" modules KBUILD_EXTMOD="$dst/livepatch/test_modules"
	touch -- "$dst/.configured"
	kernel_selftests_programs "$dst"
}

# kernel_selftests_copy SOURCE DESTINATION
kernel_selftests_copy() {
	mkdir -p -- "$2"
	# --checksum: only what changed gets a new time. Built files are left alone.
	rsync -rlp --checksum -- "$1/" "$2/livepatch/"
	rsync -rlp --checksum -- "$TREE/tools/testing/selftests/kselftest/" "$2/kselftest/"
	kernel_selftests_drop "$1" "$2/livepatch"
}

kernel_selftests_programs() {
	local c
	local -a cross=()
	if ! arch_is_native; then
		arch_user_land
		cross=(--target="$ARCH_TRIPLE" --sysroot="$ARCH_ROOT" -fuse-ld=lld)
	fi
	for c in "$1/livepatch"/*.c; do
		[ "${c%.c}" -nt "$c" ] || "clang$LLVM_SUFFIX" "${cross[@]}" -O2 -static -Wall -o "${c%.c}" "$c"
	done
}

# Sources that are not in the tree any more: neither is what was built from them.
kernel_selftests_drop() {
	( cd -- "$2" && find . ! -name 'sample_*' \( -name '*.sh' -o -name '*.c' ! -name '*.mod.c' -o -name '*.rs' \) ) | while IFS= read -r f; do
		[ -e "$1/$f" ] || { echo "remove $f"; rm -f -- "$2/$f" "$2/${f%.*}.o" "$2/${f%.*}.ko"; }
	done
}

# Those that this run has built, with their modules: who needs one later need not look again, which takes
# a minute, and more while somebody else builds.
KERNELS_BUILT=()

kernel_is_built() { [[ " ${KERNELS_BUILT[*]} " == *" $1 "* ]]; }

kernel_all() {
	local kernel=$1 o
	! kernel_is_built "$kernel" || return 0
	kernel_only "$kernel"
	o=$(kernel_dir "$kernel")
	step "build selftest modules ($(kernel_title "$kernel"))" "${o##*/}-selftests" locked kernel_selftests "$o"
}

kernel_configured() {
	local kernel=$1 o
	o=$(kernel_dir "$kernel")
	if [ ! -f "$o/.config" ] || [ "$(cat -- "$o/.klp-config" 2>/dev/null)" != "$(kernel_config_key "$kernel")" ]; then
		step "configure kernel ($(kernel_title "$kernel"))" "${o##*/}-config" locked kernel_configure "$kernel" "$o"
	fi
}

# In messages.
kernel_title() {
	arch_is_native && printf '%s\n' "$1" || printf '%s\n' "$KLP_ARCH, $1"
}

# Without what is loaded into it: that takes a script in the VM.
kernel_only() {
	local kernel=$1 o
	! kernel_is_built "$kernel" || return 0
	o=$(kernel_dir "$kernel")
	kernel_configured "$kernel"
	step "build kernel ($(kernel_title "$kernel"))" "${o##*/}" locked kernel_build "$o"
}
