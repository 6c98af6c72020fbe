# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The guest's initramfs: programs of this machine with their libraries, the kernel's
# modules, samples and selftests, and a job that tells /init what to do.

# What upstream's selftests, our own and the demo call; bash is both shells.
GUEST_PROGRAMS=(
	bash
	basename cat chmod chown comm cp cut date dirname echo env expr false head id kill ln ls mkdir
	mknod mktemp mv nproc od paste printf pwd readlink realpath rm rmdir seq sleep sort stat stdbuf
	stty sync tail taskset tee test timeout touch tr true tty uname uniq wc xargs yes
	awk gawk cmp diff find getconf grep gzip sed
	dmesg flock mount umount setsid chrt
	insmod rmmod lsmod modinfo modprobe
	sysctl ps pgrep pkill
	busybox
)

# rootfs_programs ROOT: copy the programs and every library they load.
rootfs_programs() {
	local root=$1 name path lib
	local -a libs
	mkdir -p -- "$root"/{bin,dev,proc,sys,tmp,root,etc,run,klp}
	ln -sfn bin "$root/sbin"
	mkdir -p -- "$root/usr"
	ln -sfn ../bin "$root/usr/bin"
	ln -sfn ../bin "$root/usr/sbin"
	ln -sfn bash "$root/bin/sh"
	arch_is_native || { arch_programs "$root"; return; }
	for name in "${GUEST_PROGRAMS[@]}"; do
		path=$(PATH=/usr/sbin:/usr/bin:/sbin:/bin command -v "$name" 2>/dev/null || true)
		# Shell builtins have a file of their own too.
		case $path in
		/*) ;;
		*) for path in "/usr/bin/$name" "/bin/$name" "/usr/sbin/$name" "/sbin/$name" ''; do [ ! -e "$path" ] || break; done ;;
		esac
		[ -n "$path" ] || { echo "error: the guest needs '$name', which this machine has not"; return 1; }
		cp -L -- "$path" "$root/bin/$name"
	done
	mapfile -t libs < <(ldd "$root"/bin/* 2>/dev/null | grep -oE '(/[^ ]+\.so[^ ]*)' | sort -u)
	for lib in "${libs[@]}"; do
		mkdir -p -- "$root$(dirname -- "$lib")"
		cp -L -- "$lib" "$root$lib"
	done
}

# pack ROOT ARCHIVE: several archives one after the other make one initramfs.
rootfs_pack() {
	( cd -- "$1" && find . -print0 | LC_ALL=C sort -z | cpio --quiet -0 -o -H newc -R 0:0 ) >"$2.new"
	mv -f -- "$2.new" "$2"
}

# When this machine's packages have changed last.
rootfs_age() {
	if ! arch_is_native; then
		cat -- "${ARCH_ROOT%/root}/key"
	elif [ -e /var/lib/dpkg/status ]; then
		stat -c '%Y %n' /var/lib/dpkg/status
	else
		( PATH=$DEPS_PATH; type -P "${GUEST_PROGRAMS[@]}" ) | xargs -d '\n' stat -L -c '%Y %n'
	fi
}

rootfs_file() {
	arch_is_native && printf '%s\n' "$CACHE/rootfs.cpio" || printf '%s\n' "$CACHE/rootfs-$KLP_ARCH.cpio"
}

# The programs change only with this machine's packages: packed once.
rootfs_base() {
	local key file root
	file=$(rootfs_file)
	arch_user_land
	key=$({ printf '%s\n' "${GUEST_PROGRAMS[@]}"; declare -f rootfs_programs arch_programs; rootfs_age; } | sha256sum)
	if [ -f "$file" ] && [ "$(cat -- "$file.key" 2>/dev/null)" = "$key" ]; then return 0; fi
	root=$(mktemp -d)
	rootfs_programs "$root"
	rootfs_pack "$root" "$file"
	rm -rf -- "$root"
	printf '%s\n' "$key" >"$file.key"
}

# rootfs_cargo CRATE PROGRAM DESTINATION: a program of ours, from the repository's folder CRATE.
# Without libraries, as the guest has those of its other programs only.
rootfs_cargo() {
	local crate=$1 program=$2 target=$CACHE/$2-target
	deps_cargo
	( cd -- "$REPO/$crate" && PATH=$USER_PATH CARGO_TARGET_DIR=$target \
		RUSTFLAGS="-C target-feature=+crt-static" \
		cargo build --locked --release --target x86_64-unknown-linux-gnu )
	cp -- "$target/x86_64-unknown-linux-gnu/release/$program" "$3"
}

# What belongs to one kernel: its modules, samples, selftests, .config, guest scripts.
rootfs_kernel() {
	local o=$1 root release
	root=$(mktemp -d)
	release=$(cat -- "$o/include/config/kernel.release")
	mkdir -p -- "$root/klp/samples" "$root/klp/selftests/livepatch/test_modules" "$root/lib/modules/$release/build"
	cp -- "$KLP_DIR"/guest/* "$root/klp/"
	mv -- "$root/klp/init" "$root/init"
	chmod +x -- "$root/init" "$root"/klp/*
	# Where init and our own tests look which core this is.
	mkdir -p -- "$root/boot"
	cp -- "$o/.config" "$root/boot/config-$release"
	ln -s "/boot/config-$release" "$root/klp/config"
	find "$o/samples" "$o/kernel" "$o/lib" -name '*.ko' -exec cp -t "$root/klp/samples" -- {} +
	( cd -- "$o/klp-selftests" && find . \( -name '*.sh' -o -name '*.ko' -o -name settings -o -perm -100 \) -type f \
		! -name '*.o' ! -path '*/.*/*' -print0 | xargs -0 cp --parents -t "$root/klp/selftests" -- )
	# Debugging information is of no use in there and makes the guest's memory small.
	# llvm-strip does not know the section index of livepatch symbols.
	find "$root/klp" -name '*.ko' ! -name '*klp-build*' -exec "llvm-strip$LLVM_SUFFIX" --strip-debug -- {} +
	rootfs_sign "$o" "$root/klp"
	rootfs_pack "$root" "$o/klp-modules.cpio"
	rm -rf -- "$root"
}

# Where modules are signed, so are these; after they were stripped, which takes a signature away.
rootfs_sign() {
	grep -qx CONFIG_MODULE_SIG=y -- "$1/.config" || return 0
	# Who has a kernel of others has not got their key either.
	[ -x "$1/scripts/sign-file" ] || return 0
	find "$2" -name '*.ko' -exec "$1/scripts/sign-file" \
		"$(sed -n 's/^CONFIG_MODULE_SIG_HASH="\(.*\)"$/\1/p' "$1/.config")" \
		"$1/certs/signing_key.pem" "$1/certs/signing_key.x509" {} \;
}

# rootfs_job O KEY=VALUE... : what /init shall do, then the guest's whole initramfs.
# Lines of the job's script list come on stdin.
rootfs_job() {
	local o=$1 root
	shift
	root=$(mktemp -d)
	mkdir -p -- "$root/klp/job"
	printf '%s\n' "$@" "CONSOLE=/dev/$ARCH_CONSOLE" "RESULTS=/dev/$ARCH_RESULTS" >"$root/klp/job/env"
	cat >"$root/klp/job/list"
	rootfs_pack "$root" "$o/klp-job.cpio"
	rm -rf -- "$root"
	cat -- "$(rootfs_file)" "$o/klp-modules.cpio" "$o/klp-job.cpio" >"$o/klp-initramfs.cpio"
}

rootfs_build() {
	step "guest file system" rootfs locked rootfs_parts "$1"
}

rootfs_parts() {
	rootfs_base
	rootfs_kernel "$1"
}
