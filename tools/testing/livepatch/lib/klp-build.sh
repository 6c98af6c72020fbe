# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# make test-klp-build: the tree's own scripts/livepatch/klp-build makes a live patch of two
# real changes (klp-build/*.patch), the VM loads it.
#
# klp-build works in the source tree, which therefore has a copy of its own here, and builds
# the kernel twice. Nothing of this is part of make test.

test_klp_build_verb() {
	report_start
	test_prepare
	test_suite vm suite_klp_build
	report_finish
}

suite_klp_build() {
	local dir=$CACHE/klp-build$BASE_KEY name=livepatch-klp-build
	step "source tree for klp-build" klp-build-tree locked klp_build_tree "$dir"
	# Long, and in a folder that nobody else uses: no reason to lock other builds out.
	step "build kernel for klp-build" klp-build-kernel klp_build_kernel "$dir"
	step "klp-build (builds the kernel twice)" klp-build klp_build_module "$dir" "$name"
	step "guest file system" klp-build-rootfs locked klp_build_rootfs "$dir" "$name"
	vm_probe_kvm "$dir"
	vm_scripts "$dir" "$KLP_CORE" "$OUT/log/console-klp-build.log" "own test-klp-build.sh"
}

klp_build_make() {
	local dir=$1
	shift
	make -C "$dir" ARCH=x86_64 LLVM="$LLVM_SUFFIX" -j"$JOBS" "$@"
}

klp_build_tree() {
	mkdir -p -- "$1"
	# No --delete: what was built stays. --checksum: and is not built again for nothing.
	rsync -a --checksum -- "$TREE/" "$1/"
}

klp_build_kernel() {
	local dir=$1 key
	local -a fragments
	mapfile -t fragments < <(kernel_fragments "$KLP_CORE")
	key=$(cat -- "${fragments[@]}" | sha256sum)
	if [ "$(cat -- "$dir/.klp-config" 2>/dev/null)" != "$key" ]; then
		klp_build_make "$dir" -s tinyconfig
		( cd -- "$dir" && scripts/kconfig/merge_config.sh -m .config "${fragments[@]}" )
		klp_build_make "$dir" -s olddefconfig
		kernel_config_check "$dir/.config" "${fragments[@]}"
		grep -q '^CONFIG_KLP_BUILD=y' -- "$dir/.config"
		printf '%s\n' "$key" >"$dir/.klp-config"
	fi
	klp_build_make "$dir" bzImage modules
}

# Whatever the module depends on: when that is the same, so is the module.
klp_build_key() {
	{
		cat -- "$KLP_DIR"/klp-build/*.patch
		sha256sum -- "$1/vmlinux" "$1/samples/livepatch/livepatch-shadow-mod.ko"
	} | sha256sum
}

klp_build_module() {
	local dir=$1 name=$2 key
	key=$(klp_build_key "$dir")
	if [ -f "$dir/$name.ko" ] && [ "$(cat -- "$dir/.klp-build-key" 2>/dev/null)" = "$key" ]; then
		return 0
	fi
	# It builds in place: the kernel that is booted is the one from before.
	mkdir -p -- "$dir/klp-kept"
	cp -- "$dir/arch/x86/boot/bzImage" "$dir/samples/livepatch/livepatch-shadow-mod.ko" "$dir/klp-kept/"
	( cd -- "$dir" && ARCH=x86_64 LLVM="$LLVM_SUFFIX" scripts/livepatch/klp-build -j "$JOBS" \
		-o "$dir/$name.ko" "$KLP_DIR"/klp-build/*.patch )
	printf '%s\n' "$key" >"$dir/.klp-build-key"
}

# Only what the one script needs, laid out as the selftests are.
klp_build_rootfs() {
	local dir=$1 name=$2
	local dst=$dir/klp-selftests/livepatch src=$dir/tools/testing/selftests
	rm -rf -- "$dir/klp-selftests"
	mkdir -p -- "$dst/test_modules"
	cp -r -- "$src/kselftest" "$dir/klp-selftests/"
	cp -- "$src/livepatch/functions.sh" "$src/livepatch/core-functions.sh" "$KLP_DIR/klp-build/test-klp-build.sh" "$dst/"
	chmod +x -- "$dst/test-klp-build.sh"
	cp -- "$dir/$name.ko" "$dir/klp-kept/livepatch-shadow-mod.ko" "$dst/test_modules/"
	cp -- "$dir/klp-kept/bzImage" "$dir/arch/x86/boot/bzImage"
	rootfs_parts "$dir"
}
