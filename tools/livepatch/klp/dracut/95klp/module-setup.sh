#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Livepatches in the initramfs: loaded before the first driver. Only for those who ask
# for it, add_dracutmodules+=" klp ": klp.service loads them early enough for most, and
# each one that is installed later needs a new initramfs.

# called by dracut
check() {
	require_binaries klp || return 1
	# Only if it is asked for.
	return 255
}

# called by dracut
depends() {
	return 0
}

# called by dracut
install() {
	local file

	inst_binary klp
	# They stay where they are, for this kernel only, whatever drivers are left out.
	for file in "$dracutsysrootdir/var/lib/kpatch/$kernel"/*.ko; do
		[[ ! -f $file ]] || inst_simple "${file#"$dracutsysrootdir"}"
	done
	inst_hook pre-udev 05 "$moddir/klp-load.sh"
}
