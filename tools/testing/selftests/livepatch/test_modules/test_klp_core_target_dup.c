// SPDX-License-Identifier: GPL-2.0

#include <linux/compiler.h>
#include "test_klp_core_target.h"

static int dup_version = 2;

/* The second function of this name, see test_klp_core_target_main.c. */
static noinline int core_target_dup(void)
{
	return READ_ONCE(dup_version);
}

int (*core_target_dup_second)(void) = core_target_dup;
