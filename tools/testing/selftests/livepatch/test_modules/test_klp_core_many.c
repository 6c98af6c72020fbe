// SPDX-License-Identifier: GPL-2.0
/*
 * A module with many functions, to be patched by test_klp_core_many_patch.
 * Each answers with its number, and the replacement with that and MANY_FUNCS.
 *
 * Reading the parameter "patched" calls all of them: how many are replaced?
 * -1 says that one has answered neither this nor that.
 */

#include <linux/compiler.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include "test_klp_core_many.h"

/* A variable: the compiler must not know what a function answers. */
static int zero;

#define FUNCTION(n)							\
static noinline int core_target_many_##n(void)				\
{									\
	return READ_ONCE(zero) + n;					\
}

MANY_ALL(FUNCTION)

#define ENTRY(n)	core_target_many_##n,

static int (*functions[MANY_FUNCS])(void) = {
	MANY_ALL(ENTRY)
};

static int patched_get(char *buffer, const struct kernel_param *kp)
{
	int i, answer, patched = 0;

	for (i = 0; i < MANY_FUNCS; i++) {
		answer = READ_ONCE(functions[i])();
		if (answer == i + MANY_FUNCS)
			patched++;
		else if (answer != i)
			return sysfs_emit(buffer, "-1\n");
	}
	return sysfs_emit(buffer, "%d\n", patched);
}

static const struct kernel_param_ops patched_ops = {
	.get = patched_get,
};
module_param_cb(patched, &patched_ops, NULL, 0444);

static int test_klp_core_many_init(void)
{
	return 0;
}

static void test_klp_core_many_exit(void)
{
}

module_init(test_klp_core_many_init);
module_exit(test_klp_core_many_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Livepatch test: many functions");
