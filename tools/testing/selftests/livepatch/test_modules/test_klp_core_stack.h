/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One of several livepatches on the same functions. The file which includes
 * this one defines STACK_VERSION, and STACK_VERSION2 if core_target_version2()
 * is to be patched, too.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/compiler.h>
#include <linux/kernel.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include "test_klp_core.h"

static int stack_version = STACK_VERSION;

static int stack_core_target_version(void)
{
	return READ_ONCE(stack_version);
}

#ifdef STACK_VERSION2
static int stack_version2 = STACK_VERSION2;

static int stack_core_target_version2(void)
{
	return READ_ONCE(stack_version2);
}
#endif

static int stack_cmdline_proc_show(struct seq_file *m, void *v)
{
	seq_printf(m, "%s: version %d\n", THIS_MODULE->name,
		   READ_ONCE(stack_version));
	return 0;
}

static struct klp_func vmlinux_funcs[] = {
	{
		.old_name = "cmdline_proc_show",
		.new_func = stack_cmdline_proc_show,
	}, { }
};

static struct klp_func target_funcs[] = {
	{
		.old_name = "core_target_version",
		.new_func = stack_core_target_version,
	},
#ifdef STACK_VERSION2
	{
		.old_name = "core_target_version2",
		.new_func = stack_core_target_version2,
	},
#endif
	{ }
};

static struct klp_object objs[] = {
	{
		/* name being NULL means vmlinux */
		.funcs = vmlinux_funcs,
	},
	{
		.name = CORE_TARGET,
		.funcs = target_funcs,
	}, { }
};

static struct klp_patch patch = {
	.mod = THIS_MODULE,
	.objs = objs,
};

static int test_klp_core_stack_init(void)
{
	return klp_enable_patch(&patch);
}

static void test_klp_core_stack_exit(void)
{
}

module_init(test_klp_core_stack_init);
module_exit(test_klp_core_stack_exit);
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
MODULE_DESCRIPTION("Livepatch test: several livepatches on one function");
