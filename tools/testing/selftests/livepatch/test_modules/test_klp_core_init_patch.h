/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A livepatch for test_klp_core_init. The file which includes this one may
 * define INIT_REPLACE: it then has no function in the init section, and replaces
 * all other livepatches.
 */

#include <linux/compiler.h>
#include <linux/livepatch.h>
#include <linux/module.h>

#ifdef INIT_REPLACE
static int again_version = 202;
#else
static int once_version = 101;
static int again_version = 102;

static int patch_core_target_init_once(void)
{
	return READ_ONCE(once_version);
}
#endif

static int patch_core_target_init_again(void)
{
	return READ_ONCE(again_version);
}

static struct klp_func funcs[] = {
#ifndef INIT_REPLACE
	{
		.old_name = "core_target_init_once",
		.new_func = patch_core_target_init_once,
	},
#endif
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
#ifdef INIT_REPLACE
	.replace = true,
#endif
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
