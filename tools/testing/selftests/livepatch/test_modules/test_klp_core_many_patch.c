// SPDX-License-Identifier: GPL-2.0
/*
 * A livepatch for the first functions of test_klp_core_many, as many as the
 * parameter "count" says.
 *
 * "shuffle" has them in another order, which is the same each time: what sorts
 * them must not need more stack than there is.
 *
 * Reading the parameter "sizes" shows what the core has found out about
 * MANY_SHOWN of them: the sizes of the function and of its replacement.
 */

#include <linux/compiler.h>
#include <linux/kernel.h>
#include <linux/livepatch.h>
#include <linux/minmax.h>
#include <linux/module.h>
#include <linux/string.h>
#include "test_klp_core_many.h"

static unsigned int count = MANY_FUNCS;
module_param(count, uint, 0444);

static bool shuffle;
module_param(shuffle, bool, 0444);

/* A variable: the compiler must not know what a function answers. */
static int zero;

#define FUNCTION(n)							\
static noinline int many_##n(void)					\
{									\
	return READ_ONCE(zero) + (n) + MANY_FUNCS;			\
}

MANY_ALL(FUNCTION)

#define ENTRY(n)							\
	{								\
		.old_name = "core_target_many_" #n,			\
		.new_func = many_##n,					\
	},

static struct klp_func funcs[MANY_FUNCS + 1] = {
	MANY_ALL(ENTRY)
};

static struct klp_object objs[] = {
	{
		.name = MANY,
		.funcs = funcs,
	}, { }
};

static struct klp_patch patch = {
	.mod = THIS_MODULE,
	.objs = objs,
};

static int sizes_get(char *buffer, const struct kernel_param *kp)
{
	int i, at = 0;

	for (i = 0; i < count; i += max(count / MANY_SHOWN, 1))
		at += sysfs_emit_at(buffer, at, "%lu %lu\n", funcs[i].old_size,
				    funcs[i].new_size);
	return at;
}

static const struct kernel_param_ops sizes_ops = {
	.get = sizes_get,
};
module_param_cb(sizes, &sizes_ops, NULL, 0444);

static void shuffle_funcs(void)
{
	u32 i, random = 1;

	for (i = MANY_FUNCS - 1; i > 0; i--) {
		random = random * 1664525 + 1013904223;
		swap(funcs[i], funcs[(random >> 8) % (i + 1)]);
	}
}

static int test_klp_core_many_patch_init(void)
{
	if (count > MANY_FUNCS)
		return -EINVAL;

	if (shuffle)
		shuffle_funcs();
	memset(&funcs[count], 0, sizeof(funcs[count]));
	return klp_enable_patch(&patch);
}

static void test_klp_core_many_patch_exit(void)
{
}

module_init(test_klp_core_many_patch_init);
module_exit(test_klp_core_many_patch_exit);
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
MODULE_DESCRIPTION("Livepatch test: replaces many functions");
