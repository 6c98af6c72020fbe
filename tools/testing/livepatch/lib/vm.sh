# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Boot a kernel in QEMU, feed it a job, read its results.
#
# Why not virtme-ng, which kernel people use: it wants PCI, NET, 9P, VIRTIO and OVERLAY_FS
# in the kernel (minutes of build that no livepatch test needs), puts the whole host file
# system into the guest, has no -icount, and one console for both kernel log and results.
# Here: console on the first serial port (a log file), results on the second, line by line.
# The end of a run is a line with a token, then QEMU's own exit (panic=-1, -no-reboot).
#
# TCG is the rule: /dev/kvm may exist and hang the guest.

# Lines of the console that no healthy kernel prints.
SPLAT='BUG:|WARNING:|Oops|general protection|KASAN:|KCSAN:|UBSAN:|CFI failure|rcu: INFO|rcu_.*detected stalls|possible circular locking|possible recursive locking|inconsistent lock state|invalid wait context|held lock freed|suspicious RCU usage|sleeping function called|blocked for more than|Call [Tt]race:|Kernel panic|[Uu]nable to handle|invalid opcode|ODEBUG:|refcount_t:|list_(add|del) corruption|rust_kernel: panicked|unreferenced object|INFO: task|INFO: lockdep|scheduling while atomic|specification exception|illegal operation|kernel BUG'

# vm_qemu O: QEMU's command line but for its serial ports, which are in SERIALS, into the array QEMU;
# the kernel's into APPEND.
vm_qemu() {
	# shellcheck disable=SC2054
	local o=$1 accel=(-accel "tcg,thread=multi") port clock=
	local -a machine
	[ -z "${KLP_ICOUNT:-}" ] || accel=(-accel tcg,thread=single -icount "$KLP_ICOUNT")
	if arch_is_native; then
		vm_native
	else
		machine=("${ARCH_MACHINE[@]}" "${accel[@]}" -smp "${KLP_SMP:-2}")
	fi
	SERIALS=()
	for port in "${ARCH_SERIALS[@]}"; do SERIALS+=(-serial "chardev:$port"); done
	QEMU=("$ARCH_QEMU" "${machine[@]}" -m "${KLP_MEM:-1G}"
		-nodefaults -no-user-config -display none -monitor none -no-reboot
		-kernel "$o/$ARCH_IMAGE" -initrd "$o/klp-initramfs.cpio")
	# printk.devkmsg: the selftests write their lines through /dev/kmsg, unlimited.
	APPEND="console=$ARCH_CONSOLE panic=-1 printk.devkmsg=on$clock${KLP_APPEND:+ $KLP_APPEND}"
}

# What only x86 needs: sets machine and clock of vm_qemu.
vm_native() {
	local khz
	khz=$(vm_tsc_khz)
	clock=" tsc=reliable${khz:+ tsc_early_khz=$khz}"
	# la57=off: with five levels of page tables, KASAN computes nonsense for an interrupt
	# that arrives while identify_cpu() has the CPU's features cleared.
	# shellcheck disable=SC2054
	accel+=(-cpu max,la57=off)
	[ "${VM_KVM:-}" != 1 ] || [ -n "${KLP_ICOUNT:-}" ] || accel=(-accel kvm -cpu host)
	# acpi=off: else the BIOS leaves the CPUs to ACPI, which this kernel does not have,
	# and writes no MP table. One CPU per socket: the table lists sockets, not cores.
	# shellcheck disable=SC2054
	machine=(-machine pc,acpi=off "${accel[@]}" -smp "${KLP_SMP:-2},sockets=${KLP_SMP:-2}")
}

# The guest's TSC frequency, which it cannot find out by itself: see tsc-khz.c.
vm_tsc_khz() {
	local bin=$CACHE/tsc-khz
	# With -icount the counter is virtual time in nanoseconds.
	if [ -n "${KLP_ICOUNT:-}" ]; then echo 1000000; return; fi
	[ "$(uname -m)" = x86_64 ] || return 0
	[ "$bin" -nt "$KLP_DIR/lib/tsc-khz.c" ] || gcc -O2 -o "$bin" "$KLP_DIR/lib/tsc-khz.c"
	"$bin"
}
KLP_APPEND=${KLP_APPEND:-}

# vm_lines O CONSOLE QUIET TOTAL HANDLER: boot, give each line of results to HANDLER.
# Sets VM_END to done (the guest said so), silent (nothing for QUIET seconds) or dead.
vm_lines() {
	local o=$1 console=$2 quiet=$3 total=$4 handler=$5 line fd pid rc
	vm_qemu "$o"
	mkdir -p -- "$(dirname -- "$console")"
	: >"$console"
	VM_END=dead
	exec {fd}< <(exec timeout -k 5 "$total" "${QEMU[@]}" -append "$APPEND" \
		-chardev file,id=console,path="$console" -chardev stdio,id=results,signal=off \
		"${SERIALS[@]}" </dev/null 2>>"$console")
	pid=$!
	while :; do
		rc=0
		IFS= read -r -t "$quiet" -u "$fd" line || rc=$?
		if [ "$rc" -gt 128 ]; then
			VM_END=silent
			kill "$pid" 2>/dev/null || true
			break
		fi
		[ "$rc" -eq 0 ] || [ -n "$line" ] || break
		line=${line%$'\r'}
		if [ "$line" = "$VM_TOKEN done" ]; then
			VM_END='done'
		else
			"$handler" "$line"
		fi
		[ "$rc" -eq 0 ] || break
	done
	exec {fd}<&-
	wait "$pid" 2>/dev/null || true
}

vm_token() { VM_TOKEN="@klp-$$-$RANDOM$RANDOM@"; }

# KVM only on request, and only after a guest has booted under it within a time limit.
vm_probe_kvm() {
	VM_KVM=
	[ "${KLP_KVM:-}" = 1 ] || return 0
	[ -w /dev/kvm ] || { warn "KLP_KVM=1: no usable /dev/kvm, going on with TCG"; return 0; }
	vm_token
	rootfs_job "$1" "MODE=probe" "TOKEN='$VM_TOKEN'" </dev/null
	VM_KVM=1
	vm_lines "$1" "$OUT/log/console-probe.log" 30 30 :
	[ "$VM_END" = 'done' ] || { VM_KVM=; warn "a guest does not boot under KVM here, going on with TCG"; }
}

# Of the reports of KCSAN only those that name livepatch: the rest of the kernel has races of its
# own. A report ends with a line of equals signs.
vm_own_races() {
	awk '
	/BUG: KCSAN:/ { inside = 1; own = 0; report = "" }
	!inside { print; next }
	{ report = report $0 "\n" }
	/klp|livepatch/ { own = 1 }
	/==========/ { if (own) printf "%s", report; inside = 0 }
	END { if (inside && own) printf "%s", report }'
}

# vm_splats CONSOLE: the lines that must not be there, with a little of what follows.
vm_splats() {
	tr -d '\r' <"$1" | vm_own_races | grep -aE -A12 -e "$SPLAT" | head -n "${2:-40}" || true
}

# vm_hint CONSOLE: what is known about a splat in it and does not say so by itself.
#
# QEMU (10.0.2, several CPUs in threads of their own) sometimes goes on running an INT3 that the
# kernel has put there and overwritten again. Memory has the new instruction then, QEMU's
# translation the old one, and the kernel, which is done with this place, says "Oops: int3". No
# livepatch is needed for it: with a task that spins in a function and KLP_SMP=4, switching the
# function tracer on and off for that function crashes the guest within a minute; with
# "-accel tcg,thread=single" it never does.
vm_hint() {
	! grep -aq 'Oops: int3' "$1" || say "    hint: 'Oops: int3' at a call site is a known fault of QEMU, if memory has another" \
		"instruction there: see vm_hint in tools/testing/livepatch/lib/vm.sh. It counts as a failure all the same."
}

# ---- make shell

vm_interactive() {
	local o=$1 size
	size=$(stty size 2>/dev/null || echo "24 80")
	vm_probe_kvm "$o"
	vm_token
	# A shell wants a terminal, not lines in EBCDIC.
	[ "$KLP_ARCH" != s390 ] || local ARCH_CONSOLE=ttysclp0
	rootfs_job "$o" "MODE=shell" "TOKEN='$VM_TOKEN'" "SIZE='$size'" "TERM='${TERM:-vt100}'" </dev/null
	vm_qemu "$o"
	APPEND=${APPEND/console=ttysclp0/console=ttyS1}
	"${QEMU[@]}" -append "$APPEND quiet" -chardev stdio,id=console,mux=on,signal=off -serial chardev:console -serial null
}

# ---- make run

vm_demo() {
	local o=$1 console=$OUT/log/console-run.log start=$SECONDS splats
	vm_probe_kvm "$o"
	vm_token
	rootfs_job "$o" "MODE=demo" "TOKEN='$VM_TOKEN'" "CORE=$KLP_CORE" </dev/null
	say "boot the VM                                  log: $(pretty "$console")"
	DEMO_RC=
	vm_lines "$o" "$console" 120 300 vm_demo_line
	splats=$(vm_splats "$console")
	if [ -n "$splats" ]; then
		printf '%s\n' "$splats"
		vm_hint "$console"
		die "the kernel complained; the whole log: $console"
	fi
	if [ "$VM_END" != 'done' ]; then
		tail -n 15 -- "$console"
		die "the guest did not finish ($VM_END); its log: $console"
	fi
	[ "$DEMO_RC" = 0 ] || die "not every step was as it should be (see above); the kernel's log: $console"
	say "all steps as they should be ($((SECONDS - start)) s in the VM)"
}

vm_demo_line() {
	case $1 in
	"$VM_TOKEN rc="*) DEMO_RC=${1#"$VM_TOKEN rc="} ;;
	"$VM_TOKEN "*) ;;
	*) printf '%s\n' "$1" ;;
	esac
}
