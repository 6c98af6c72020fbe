// SPDX-License-Identifier: GPL-2.0
/*
 * One livepatch for two modules, to be loaded on top of others or alone.
 * A sleeper in core_target_busy() holds the transition up, while the other
 * module can come and go.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/compiler.h>
#include <linux/kernel.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include "test_klp_core.h"

static int two_version = 2;

static int two_core_target_version2(void)
{
	return READ_ONCE(two_version);
}

static int two_core_target_busy(void (*sleep)(void))
{
	sleep();
	return READ_ONCE(two_version);
}

static int two_test_klp_mod_target_show(struct seq_file *m, void *v)
{
	seq_printf(m, "%s: version %d\n", THIS_MODULE->name,
		   READ_ONCE(two_version));
	return 0;
}

static struct klp_func target_funcs[] = {
	{
		.old_name = "core_target_version2",
		.new_func = two_core_target_version2,
	},
	{
		.old_name = "core_target_busy",
		.new_func = two_core_target_busy,
	}, { }
};

static struct klp_func mod_target_funcs[] = {
	{
		.old_name = "test_klp_mod_target_show",
		.new_func = two_test_klp_mod_target_show,
	}, { }
};

static struct klp_object objs[] = {
	{
		.name = CORE_TARGET,
		.funcs = target_funcs,
	},
	{
		.name = "test_klp_mod_target",
		.funcs = mod_target_funcs,
	}, { }
};

static struct klp_patch patch = {
	.mod = THIS_MODULE,
	.objs = objs,
};

static int test_klp_core_two_init(void)
{
	return klp_enable_patch(&patch);
}

static void test_klp_core_two_exit(void)
{
}

module_init(test_klp_core_two_init);
module_exit(test_klp_core_two_exit);
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
MODULE_DESCRIPTION("Livepatch test: one livepatch for two modules");
