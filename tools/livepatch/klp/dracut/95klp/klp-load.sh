#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Whatever becomes of it, the boot goes on.

klp load --all --boot --initrd --no-progress || :
