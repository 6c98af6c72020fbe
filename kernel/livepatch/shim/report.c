// SPDX-License-Identifier: GPL-2.0
/*
 * Messages that need a dynamic debug descriptor, which pr_debug!() of Rust
 * does not make. That is all that these functions do; they are called like the
 * steps of a transition because dynamic debug knows messages by that name.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/printk.h>
#include "shim.h"

static const char *klp_direction(bool patching)
{
	return patching ? "patching" : "unpatching";
}

void klp_init_transition(const char *patch, bool patching)
{
	pr_debug("'%s': initializing %s transition\n",
		 patch, klp_direction(patching));
}

void klp_complete_transition(const char *patch, bool patching)
{
	pr_debug("'%s': completing %s transition\n",
		 patch, klp_direction(patching));
}

void klp_cancel_transition(const char *patch)
{
	pr_debug("'%s': canceling patching transition, going to unpatch\n",
		 patch);
}

void klp_reverse_transition(const char *patch, bool was_patching)
{
	pr_debug("'%s': reversing transition from %s\n", patch,
		 was_patching ? "patching to unpatching" :
				"unpatching to patching");
}
