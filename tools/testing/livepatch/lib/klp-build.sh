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
	local dir=$CACHE/klp-build$BASE_KEY kept=$CACHE/klp-build-kept$BASE_KEY key
	step "source tree for klp-build" klp-build-tree locked klp_build_tree "$dir"
	key=$(klp_build_key)
	if [ "$(cat -- "$kept/key" 2>/dev/null)" != "$key" ]; then
		# Long, and in folders that nobody else uses: no reason to lock other builds out.
		step "build kernel for klp-build" klp-build-kernel klp_build_kernel "$dir" "$kept"
		step "klp-build (builds the kernel twice)" klp-build klp_build_module "$dir" "$kept"
		printf '%s\n' "$key" >"$kept/key"
	fi
	step "guest file system" klp-build-rootfs locked klp_build_rootfs "$dir" "$kept"
	vm_probe_kvm "$kept"
	vm_scripts "$kept" "$KLP_CORE" "$OUT/log/console-klp-build.log" "own test-klp-build.sh"
}

# Whatever the kernel and the module depend on.
klp_build_key() {
	{
		cat -- "$KLP_DIR"/klp-build/*.patch "$TREE.stamp"
		kernel_config_key "$KLP_CORE"
		sed "s:^:$TREE/:" "$TREE.manifest" | xargs -r -d '\n' cat
	} | sha256sum
}

klp_build_make() {
	local dir=$1
	shift
	make -C "$dir" ARCH=x86_64 LLVM="$LLVM_MAKE" -j"$JOBS" "$@"
}

klp_build_tree() {
	mkdir -p -- "$1"
	# No --delete: what was built stays. --checksum: and is not built again for nothing.
	rsync -a --checksum -- "$TREE/" "$1/"
}

# klp-build works in place, and takes all *.ko below it for the kernel's: what is booted
# and loaded later is kept elsewhere.
klp_build_kernel() {
	local dir=$1 kept=$2
	local -a fragments
	mapfile -t fragments < <(kernel_fragments "$KLP_CORE")
	klp_build_make "$dir" -s tinyconfig
	( cd -- "$dir" && scripts/kconfig/merge_config.sh -m .config "${fragments[@]}" )
	klp_build_make "$dir" -s olddefconfig
	kernel_config_check "$dir/.config" "${fragments[@]}"
	grep -q '^CONFIG_KLP_BUILD=y' -- "$dir/.config"
	klp_build_make "$dir" bzImage modules
	rm -rf -- "$kept"
	mkdir -p -- "$kept/arch/x86/boot" "$kept/include/config" "$kept/samples" "$kept/kernel" "$kept/lib"
	cp -- "$dir/arch/x86/boot/bzImage" "$kept/arch/x86/boot/"
	cp -- "$dir/include/config/kernel.release" "$kept/include/config/"
	cp -- "$dir/.config" "$kept/"
	cp -- "$dir/samples/livepatch/livepatch-shadow-mod.ko" "$kept/samples/"
}

klp_build_module() {
	local dir=$1 kept=$2
	( cd -- "$dir" && ARCH=x86_64 LLVM="$LLVM_MAKE" scripts/livepatch/klp-build -j "$JOBS" \
		-o "$dir/livepatch-klp-build.ko" "$KLP_DIR"/klp-build/*.patch )
	cp -- "$dir/livepatch-klp-build.ko" "$kept/samples/"
}

# Only what the one script needs, laid out as the selftests are.
klp_build_rootfs() {
	local dir=$1 kept=$2
	local dst=$kept/klp-selftests/livepatch src=$dir/tools/testing/selftests
	rm -rf -- "$kept/klp-selftests"
	mkdir -p -- "$dst/test_modules"
	cp -r -- "$src/kselftest" "$kept/klp-selftests/"
	cp -- "$src/livepatch/functions.sh" "$src/livepatch/core-functions.sh" "$KLP_DIR/klp-build/test-klp-build.sh" "$dst/"
	chmod +x -- "$dst/test-klp-build.sh"
	cp -- "$kept"/samples/*.ko "$dst/test_modules/"
	rootfs_parts "$kept"
}
