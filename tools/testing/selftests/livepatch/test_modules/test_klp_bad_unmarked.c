// SPDX-License-Identifier: GPL-2.0
/* A patch that is all right, in a module that does not say it is a livepatch. */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/compiler.h>
#include <linux/kernel.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include "test_klp_core.h"

static int bad_version = 42;

static int bad_new_func(void)
{
	return READ_ONCE(bad_version);
}

static struct klp_func funcs[] = {
	{
		.old_name = "core_target_version",
		.new_func = bad_new_func,
	}, { }
};

static struct klp_object objs[] = {
	{
		.name = CORE_TARGET,
		.funcs = funcs,
	}, { }
};

static struct klp_patch patch = {
	.mod = THIS_MODULE,
	.objs = objs,
};

static int test_klp_bad_unmarked_init(void)
{
	int ret = klp_enable_patch(&patch);

	pr_info("klp_enable_patch() returned %d\n", ret);
	return ret;
}

static void test_klp_bad_unmarked_exit(void)
{
}

module_init(test_klp_bad_unmarked_init);
module_exit(test_klp_bad_unmarked_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Livepatch test: not a livepatch module");
