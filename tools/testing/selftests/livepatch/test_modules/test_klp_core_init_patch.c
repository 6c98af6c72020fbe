// SPDX-License-Identifier: GPL-2.0

#include <linux/compiler.h>
#include <linux/livepatch.h>
#include <linux/module.h>

static int once_version = 101;
static int again_version = 102;

static int patch_core_target_init_once(void)
{
	return READ_ONCE(once_version);
}

static int patch_core_target_init_again(void)
{
	return READ_ONCE(again_version);
}

static struct klp_func funcs[] = {
	{
		.old_name = "core_target_init_once",
		.new_func = patch_core_target_init_once,
	},
	{
		.old_name = "core_target_init_again",
		.new_func = patch_core_target_init_again,
	}, { }
};

static struct klp_object objs[] = {
	{
		.name = "test_klp_core_init",
		.funcs = funcs,
	}, { }
};

static struct klp_patch patch = {
	.mod = THIS_MODULE,
	.objs = objs,
};

static int test_klp_core_init_patch_init(void)
{
	return klp_enable_patch(&patch);
}

static void test_klp_core_init_patch_exit(void)
{
}

module_init(test_klp_core_init_patch_init);
module_exit(test_klp_core_init_patch_exit);
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
MODULE_DESCRIPTION("Livepatch test: for a function in the init section");
