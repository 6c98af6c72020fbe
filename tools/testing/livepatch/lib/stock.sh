# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# make test-stock: the administrator's tool on Debian's own kernel of the base's version, with the core in
# C that it has, unmodified.
#
# Modules for it are built by what it was built by: gcc and kernel headers of the suite that it is from, in a
# folder that debootstrap fills, as this machine may be of another one. Nothing of this is part of make test.

STOCK_SUITE=${BASE_SUITE%-backports}
STOCK_DIR=$CACHE/stock

test_stock_verb() {
	[ -z "$KLP_KERNEL_SRC" ] || die "test-stock: Debian's kernel is that of Debian's source package, not of KERNEL_SRC"
	report_start
	test_prepare
	KLP_CORE=c
	KLP_ONLY=${KLP_ONLY:-test-core-klp.sh} test_suite vm suite_stock
	report_finish
}

suite_stock() {
	local o=$STOCK_DIR/build
	[ "$(id -u)" -eq 0 ] || die "test-stock needs root, for debootstrap and chroot"
	step "Debian's kernel" stock-download locked stock_download
	step "a user land of $STOCK_SUITE to build in" stock-user-land locked stock_user_land
	step "build selftest modules (stock)" stock-selftests locked stock_selftests "$o"
	step "build klp" klp klp_build "$o/klp-selftests/livepatch/test_klp-tool"
	rootfs_build "$o"
	vm_probe_kvm "$o"
	vm_scripts "$o" c "$OUT/log/console-stock.log" "own test-core-klp.sh"
	stock_rehearse "$o"
}

# klp boots that kernel by itself, and tells what becomes of a livepatch there.
stock_rehearse() {
	local o=$1 modules=$1/klp-selftests/livepatch/test_modules
	printf '#!/bin/sh\ngrep "has been live patched" /proc/cmdline\n' >"$o/klp-smoke"
	printf '#!/bin/sh\nexit 3\n' >"$o/klp-smoke-fails"
	stock_rehearsed 0 "one that is good" "$o" "$modules/test_klp_livepatch.ko" --test "$o/klp-smoke"
	stock_rehearsed 0 "one of a module that is loaded before" "$o" "$modules/test_klp_core_busy.ko" \
		--module "$modules/test_klp_core_target.ko"
	stock_rehearsed 1 "one whose test fails" "$o" "$modules/test_klp_livepatch.ko" --test "$o/klp-smoke-fails"
	stock_rehearsed 4 "one that is refused" "$o" "$modules/test_klp_bad_unmarked.ko"
}

# stock_rehearsed CODE NAME O MODULE ARGUMENT...
stock_rehearsed() {
	local wanted=$1 name=$2 o=$3 code=0 log
	shift 3
	log="$OUT/log/rehearse-${name// /-}.log"
	"$o/klp-selftests/livepatch/test_klp-tool" rehearse --kernel "$o/$ARCH_IMAGE" "$@" >"$log" 2>&1 || code=$?
	if [ "$code" -eq "$wanted" ]; then
		report rehearse pass 0 "$name"
	else
		report rehearse fail 0 "$name" "exit code $code, not $wanted: $(tail -n 1 -- "$log")"
		sed 's/^/    | /' -- "$log"
	fi
}

stock_release() { find "$STOCK_DIR/packages/usr/lib/modules" -mindepth 1 -maxdepth 1 -printf '%f\n'; }

# The packages of the very version that the base is from.
stock_download() {
	local conf version name
	version=$(sed -n "s/^${BASE_PACKAGE}_\(.*\)_all\.deb$/\1/p" "$BASE.stamp")
	[ -n "$version" ] || { echo "error: $BASE.stamp names no package"; return 1; }
	if [ "$(cat -- "$STOCK_DIR/version" 2>/dev/null)" = "$version" ]; then return 0; fi
	rm -rf -- "$STOCK_DIR"
	mkdir -p -- "$STOCK_DIR/debs" "$STOCK_DIR/packages"
	conf=$(deps_apt_config base "$BASE_SUITE")
	APT_CONFIG=$conf apt-get update
	name=$(APT_CONFIG=$conf apt-cache pkgnames linux-headers- | grep -x 'linux-headers-[0-9][^ ]*[0-9]-amd64' |
		while IFS= read -r name; do
			! APT_CONFIG=$conf apt-cache madison "$name" | grep -qF " $version " || printf '%s\n' "$name"
		done | head -n 1)
	[ -n "$name" ] || { echo "error: $BASE_SUITE has no kernel of $version"; return 1; }
	name=${name#linux-headers-}
	(
		cd -- "$STOCK_DIR/debs"
		APT_CONFIG=$conf apt-get download "linux-headers-$name" "linux-headers-${name%-amd64}-common" \
			"linux-kbuild-${name%-amd64}" "linux-binary-$name" "linux-base-$name" "linux-modules-$name"
	)
	for name in "$STOCK_DIR"/debs/*.deb; do dpkg-deb -x "$name" "$STOCK_DIR/packages"; done
	rm -rf -- "$STOCK_DIR/debs"
	printf '%s\n' "$version" >"$STOCK_DIR/version"
}

stock_user_land() {
	local root=$STOCK_DIR/root uri
	type -P debootstrap >/dev/null || "${APT_INSTALL[@]}" debootstrap
	if [ ! -f "$root.whole" ]; then
		uri=$(deps_mirror)
		rm -rf -- "$root"
		debootstrap --variant=minbase --include=gcc,gcc-14,make,libelf1t64,libdw1t64,pahole "$STOCK_SUITE" "$root" "${uri%% *}"
		: >"$root.whole"
	fi
	rsync -a -- "$STOCK_DIR/packages/usr/" "$root/usr/"
}

# What a build folder of ours has that the guest's file system is made from.
stock_selftests() {
	local o=$1 src=$TREE/tools/testing/selftests/livepatch release boot
	release=$(stock_release)
	boot=$STOCK_DIR/packages/usr/lib/modules/$release
	mkdir -p -- "$o"/{samples,kernel,lib,klp-selftests,include/config} "$o/${ARCH_IMAGE%/*}"
	cp -- "$boot/vmlinuz" "$o/$ARCH_IMAGE"
	cp -- "$boot/config" "$o/.config"
	printf '%s\n' "$release" >"$o/include/config/kernel.release"
	kernel_selftests_copy "$src" "$o/klp-selftests"
	mkdir -p -- "$STOCK_DIR/root/selftests"
	rsync -rlp --checksum -- "$src/" "$STOCK_DIR/root/selftests/"
	# objtool wants /proc. Modules in Rust need what Debian's headers do not have.
	unshare --mount --pid --fork --root="$STOCK_DIR/root" --mount-proc make -C "/lib/modules/$release/build" M=/selftests/test_modules CONFIG_RUST= \
		CONFIG_DEBUG_INFO_BTF_MODULES= -j"$JOBS" modules
	cp -- "$STOCK_DIR"/root/selftests/test_modules/*.ko "$o/klp-selftests/livepatch/test_modules/"
	kernel_selftests_programs "$o/klp-selftests"
}
