// SPDX-License-Identifier: GPL-2.0
/*
 * A livepatch whose replacement of core_target_busy() jumps to another function
 * of this module. A task there has left the replacement, as far as its stack
 * can tell, and still needs the module.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/compiler.h>
#include <linux/kernel.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include "test_klp_core.h"

static int tail_version = 1;

static noinline notrace int tail_of_core_target_busy(void (*sleep)(void))
{
	sleep();
	return READ_ONCE(tail_version);
}

static int tail_core_target_busy(void (*sleep)(void))
{
	return tail_of_core_target_busy(sleep);
}

static struct klp_func target_funcs[] = {
	{
		.old_name = "core_target_busy",
		.new_func = tail_core_target_busy,
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

static int test_klp_core_tail_init(void)
{
	return klp_enable_patch(&patch);
}

static void test_klp_core_tail_exit(void)
{
}

module_init(test_klp_core_tail_init);
module_exit(test_klp_core_tail_exit);
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
MODULE_DESCRIPTION("Livepatch test: a replacement that ends with a jump");
