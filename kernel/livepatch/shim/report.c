// SPDX-License-Identifier: GPL-2.0
/*
 * Messages that need a dynamic debug descriptor, which pr_debug!() of Rust
 * does not make.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/printk.h>
#include "shim.h"

static const char *klp_direction(bool patching)
{
	return patching ? "patching" : "unpatching";
}

void klp_debug_initializing(const char *patch, bool patching)
{
	pr_debug("'%s': initializing %s transition\n",
		 patch, klp_direction(patching));
}

void klp_debug_completing(const char *patch, bool patching)
{
	pr_debug("'%s': completing %s transition\n",
		 patch, klp_direction(patching));
}

void klp_debug_canceling(const char *patch)
{
	pr_debug("'%s': canceling patching transition, going to unpatch\n",
		 patch);
}

void klp_debug_reversing(const char *patch, bool was_patching)
{
	pr_debug("'%s': reversing transition from %s\n", patch,
		 was_patching ? "patching to unpatching" :
				"unpatching to patching");
}
