# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The architectures: how each is built, booted and talked to. All are built by the same clang and
# rustc; QEMU emulates those that this machine is not of. Their programs for the guest are those of
# Debian's packages, extracted and never run here.

ARCHES=(x86_64 arm64 s390 powerpc loongarch)

# arch_set NAME: what is known of it.
#   ARCH_IMAGE    what boots, in the build folder; ARCH_TARGET: what make calls it
#   ARCH_QEMU     its emulator; ARCH_QEMU_PACKAGE: where that is
#   ARCH_MACHINE  QEMU's machine and CPU
#   ARCH_CONSOLE  the guest's device for the console, ARCH_RESULTS: that for results
#   ARCH_SERIALS  the order of QEMU's serial ports
#   ARCH_TRIPLE   what clang calls it; ARCH_DEBIAN: what Debian calls it
#   ARCH_ROOT     where the programs for its guest are
#   ARCH_FLAVOURS how its kernel can be configured otherwise
#   ARCH_SUITE    Debian's suite that has it, if it is not that of this machine
arch_set() {
	KLP_ARCH=$1
	ARCH_SERIALS=(console results)
	ARCH_TARGET=
	ARCH_SUITE=
	ARCH_FLAVOURS=()
	case $KLP_ARCH in
	x86_64)
		ARCH_IMAGE=arch/x86/boot/bzImage ARCH_TARGET=bzImage
		ARCH_QEMU=qemu-system-x86_64 ARCH_QEMU_PACKAGE=qemu-system-x86
		ARCH_CONSOLE=ttyS0 ARCH_RESULTS=ttyS1
		ARCH_TRIPLE=x86_64-linux-gnu ARCH_DEBIAN=amd64
		;;
	arm64)
		ARCH_IMAGE=arch/arm64/boot/Image ARCH_TARGET=Image
		ARCH_QEMU=qemu-system-aarch64 ARCH_QEMU_PACKAGE=qemu-system-arm
		# Pointer authentication as the architecture has it takes most of an emulator's time.
		ARCH_MACHINE=(-machine "virt,gic-version=3" -cpu "${KLP_CPU:-max,pauth-impdef=on}")
		ARCH_CONSOLE=ttyAMA0 ARCH_RESULTS=ttyAMA1
		ARCH_TRIPLE=aarch64-linux-gnu ARCH_DEBIAN=arm64
		;;
	s390)
		ARCH_IMAGE=arch/s390/boot/bzImage ARCH_TARGET=bzImage
		ARCH_QEMU=qemu-system-s390x ARCH_QEMU_PACKAGE=qemu-system-s390x
		ARCH_MACHINE=(-machine s390-ccw-virtio -cpu "${KLP_CPU:-max}")
		# The first port is a VT220 and passes on what it gets, the second speaks EBCDIC lines.
		ARCH_CONSOLE=ttyS0 ARCH_RESULTS=ttysclp0
		ARCH_SERIALS=(results console)
		ARCH_TRIPLE=s390x-linux-gnu ARCH_DEBIAN=s390x
		;;
	powerpc)
		ARCH_IMAGE=vmlinux ARCH_TARGET=vmlinux
		ARCH_FLAVOURS=(4k)
		ARCH_QEMU=qemu-system-ppc64 ARCH_QEMU_PACKAGE=qemu-system-ppc
		# Not with x-vof=on, which is faster to boot, and leaves an NVRAM behind that the kernel warns of.
		ARCH_MACHINE=(-machine "pseries,cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken,cap-ccf-assist=off"
			-cpu "${KLP_CPU:-power9}")
		ARCH_CONSOLE=hvc0 ARCH_RESULTS=hvc1
		ARCH_TRIPLE=powerpc64le-linux-gnu ARCH_DEBIAN=ppc64el
		;;
	loongarch)
		ARCH_IMAGE=arch/loongarch/boot/vmlinux.elf ARCH_TARGET=vmlinux.elf
		ARCH_QEMU=qemu-system-loongarch64 ARCH_QEMU_PACKAGE=qemu-system-misc
		ARCH_MACHINE=(-machine virt -cpu "${KLP_CPU:-la464}")
		ARCH_CONSOLE=ttyS0 ARCH_RESULTS=ttyS1
		ARCH_TRIPLE=loongarch64-linux-gnu ARCH_DEBIAN=loong64 ARCH_SUITE=forky
		;;
	*) die "ARCH=$KLP_ARCH: there is none of that name, only: ${ARCHES[*]}" ;;
	esac
	# What the packages are extracted into: programs, libraries, headers.
	ARCH_ROOT=$CACHE/arch/$KLP_ARCH/root
}

arch_set "$KLP_ARCH"

# What test-all runs: each architecture, and what there is twice of it. arm64 without LSE atomics, which
# the kernel looks for when it boots; powerpc with small pages.
ARCH_ROWS=(x86_64 arm64 arm64-cortex-a72 s390 powerpc powerpc-4k loongarch)

# arch_row ROW: one of these.
arch_row() {
	local KLP_CPU=${KLP_CPU:-}
	KLP_FLAVOUR=
	case $1 in
	arm64-cortex-a72) KLP_CPU=cortex-a72 ;;
	powerpc-4k) KLP_FLAVOUR=4k ;;
	esac
	arch_set "${1%%-*}"
}

arch_is_native() { [ "$KLP_ARCH" = x86_64 ]; }

# Is there, or can be had, what emulates it?
arch_can_run() {
	[ "$(qemu_major)" -ge "$QEMU_MIN" ] 2>/dev/null || type -P apt-get >/dev/null
}

# The packages with the guest's programs and what they need, and with what its C programs are
# linked with.
arch_packages() {
	printf '%s\n' bash busybox-static coreutils diffutils findutils gawk grep gzip kmod mount procps sed util-linux \
		libacl1 libattr1 libblkid1 libc-bin libc6 libcap-ng0 libcap2 libcrypt1 libgcc-s1 libgmp10 liblzma5 libmount1 \
		libmpfr6 libncursesw6 libpcre2-8-0 libselinux1 libsmartcols1 libsystemd0 libtinfo6 libudev1 libuuid1 libzstd1 \
		libc6-dev linux-libc-dev
	case $ARCH_SUITE in
	'') printf '%s\n' libsigsegv2 libreadline8 liblz4-1 libgcrypt20 libgpg-error0 libproc2-0 libssl3 libgcc-12-dev ;;
	*) printf '%s\n' libreadline8t64 libproc2-1 libssl3t64 zlib1g libgcc-16-dev ;;
	esac
}

arch_user_land() {
	local dir=${ARCH_ROOT%/root} key conf codename deb
	local -a packages
	arch_is_native && return 0
	mapfile -t packages < <(arch_packages)
	key=$(printf '%s\n' "$ARCH_DEBIAN" "$ARCH_SUITE" "${packages[@]}" | sha256sum)
	if [ "$(cat -- "$dir/key" 2>/dev/null)" = "$key" ]; then return 0; fi
	codename=$(. /etc/os-release && printf '%s' "$VERSION_CODENAME")
	rm -rf -- "$dir"
	mkdir -p -- "$dir/debs" "$ARCH_ROOT"
	conf=$(deps_apt_config "$KLP_ARCH" "${ARCH_SUITE:-$codename}")
	: >"$dir/status"
	cat -- "$conf" - >"$dir/apt.conf" <<-EOF
		APT::Architecture "$ARCH_DEBIAN";
		APT::Architectures:: "$ARCH_DEBIAN";
		Dir::State::status "$dir/status";
		Acquire::Languages "none";
		Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
	EOF
	APT_CONFIG=$dir/apt.conf apt-get update
	( cd -- "$dir/debs" && APT_CONFIG=$dir/apt.conf apt-get download "${packages[@]}" )
	for deb in "$dir"/debs/*.deb; do dpkg-deb -x "$deb" "$ARCH_ROOT"; done
	rm -rf -- "$dir/debs"
	printf '%s\n' "$key" >"$dir/key"
}

# arch_find NAME FOLDER...: the first file of this name. Links are followed as they would be there.
arch_find() {
	local name=$1 dir file to
	shift
	for dir; do
		file=$ARCH_ROOT/$dir/$name
		while [ -L "$file" ]; do
			to=$(readlink -- "$file")
			case $to in
			/*) file=$ARCH_ROOT$to ;;
			*) file=${file%/*}/$to ;;
			esac
		done
		if [ -f "$file" ]; then
			printf '%s\n' "$file"
			return
		fi
	done
	return 1
}

# arch_programs ROOT: the guest's programs, and the libraries that they name, and so on.
arch_programs() {
	local root=$1 name file lib interpreter
	local -a todo=() libs=("lib/$ARCH_TRIPLE" "usr/lib/$ARCH_TRIPLE" lib64 usr/lib64 lib usr/lib)
	mkdir -p -- "$root/lib/$ARCH_TRIPLE"
	for name in "${GUEST_PROGRAMS[@]}"; do
		case $name in
		awk) file=$(arch_find gawk usr/bin bin) ;;
		*) file=$(arch_find "$name" usr/bin bin usr/sbin sbin) ;;
		esac || { echo "error: the guest needs '$name', which none of the packages has"; return 1; }
		cp -- "$file" "$root/bin/$name"
		todo+=("$root/bin/$name")
	done
	while [ "${#todo[@]}" -gt 0 ]; do
		file=${todo[0]}
		todo=("${todo[@]:1}")
		interpreter=$("llvm-readelf$LLVM_SUFFIX" -l "$file" 2>/dev/null | sed -n 's/.*interpreter: \(.*\)\]/\1/p')
		if [ -n "$interpreter" ] && [ ! -e "$root$interpreter" ]; then
			mkdir -p -- "$root${interpreter%/*}"
			cp -- "$(arch_find "${interpreter##*/}" "${libs[@]}")" "$root$interpreter"
		fi
		while IFS= read -r lib; do
			[ ! -e "$root/lib/$ARCH_TRIPLE/$lib" ] || continue
			# The interpreter is a library as well, and found as such.
			file=$(arch_find "$lib" "${libs[@]}") || { echo "error: none of the packages has $lib"; return 1; }
			cp -- "$file" "$root/lib/$ARCH_TRIPLE/$lib"
			todo+=("$root/lib/$ARCH_TRIPLE/$lib")
		done < <("llvm-readelf$LLVM_SUFFIX" -d "$file" 2>/dev/null | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
	done
}
