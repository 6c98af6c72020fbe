// SPDX-License-Identifier: GPL-2.0
/*
 * A livepatch for a function that calls itself, and sleeps deep down there.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/compiler.h>
#include <linux/kernel.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include "test_klp_core.h"

static int deep_version = 1;

static int deep_core_target_version(void)
{
	return READ_ONCE(deep_version);
}

static void deep_core_target_deep(struct core_deep *deep)
{
	deep->next(deep);
	deep->answer += READ_ONCE(deep_version);
	deep->leaf_answer += deep->leaf();
}

static struct klp_func target_funcs[] = {
	{
		.old_name = "core_target_version",
		.new_func = deep_core_target_version,
	},
	{
		.old_name = "core_target_deep",
		.new_func = deep_core_target_deep,
	}, { }
};

static struct klp_object objs[] = {
	{
		.name = CORE_TARGET,
		.funcs = target_funcs,
	}, { }
};

static struct klp_patch patch = {
	.mod = THIS_MODULE,
	.objs = objs,
};

static int test_klp_core_deep_init(void)
{
	return klp_enable_patch(&patch);
}

static void test_klp_core_deep_exit(void)
{
}

module_init(test_klp_core_deep_init);
module_exit(test_klp_core_deep_exit);
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
MODULE_DESCRIPTION("Livepatch test: a recursive function, deep stacks");
