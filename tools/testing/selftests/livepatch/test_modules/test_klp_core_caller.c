// SPDX-License-Identifier: GPL-2.0
/*
 * A livepatch of the function that calls core_target_busy(), and of no other.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/kernel.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include "test_klp_core.h"

static int caller_busy_show(struct seq_file *m, void *v)
{
	seq_puts(m, "caller\n");
	return 0;
}

static struct klp_func target_funcs[] = {
	{
		.old_name = "busy_show",
		.new_func = caller_busy_show,
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

static int test_klp_core_caller_init(void)
{
	return klp_enable_patch(&patch);
}

static void test_klp_core_caller_exit(void)
{
}

module_init(test_klp_core_caller_init);
module_exit(test_klp_core_caller_exit);
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
MODULE_DESCRIPTION("Livepatch test: the caller of a function that sleeps");
