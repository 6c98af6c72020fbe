/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A livepatch whose transition can be held up at will, in both directions:
 * by a task which sleeps in the old or in the new core_target_busy(). The file
 * which includes this one may define BUSY_VERSION, BUSY_REPLACE if it is to
 * replace all other livepatches, and BUSY_NAME, a name of core_target_name().
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/compiler.h>
#include <linux/kernel.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include "test_klp_core.h"

#ifndef BUSY_VERSION
#define BUSY_VERSION	1
#endif

#ifndef BUSY_REPLACE
#define BUSY_REPLACE	false
#endif

static int busy_version = BUSY_VERSION;

static int busy_core_target_version(void)
{
	return READ_ONCE(busy_version);
}

static int busy_core_target_busy(void (*sleep)(void))
{
	sleep();
	return READ_ONCE(busy_version);
}

static int busy_core_target_pair_a(void)
{
	return READ_ONCE(busy_version);
}

static int busy_core_target_pair_b(void)
{
	return READ_ONCE(busy_version);
}

/*
 * This function is in the set although only the two above had to change
 * together: a task is not switched while it runs here, and so never between
 * the two.
 */
static void busy_core_target_pair(struct core_pair *pair)
{
	pair->a = pair->get_a();
	pair->pause();
	pair->b = pair->get_b();
	pair->self = READ_ONCE(busy_version);
}

#ifdef BUSY_NAME
static int busy_core_target_name(void)
{
	return READ_ONCE(busy_version);
}
#endif

static struct klp_func target_funcs[] = {
#ifdef BUSY_NAME
	{
		.old_name = BUSY_NAME,
		.new_func = busy_core_target_name,
	},
#endif
	{
		.old_name = "core_target_version",
		.new_func = busy_core_target_version,
	},
	{
		.old_name = "core_target_busy",
		.new_func = busy_core_target_busy,
	},
	{
		.old_name = "core_target_pair",
		.new_func = busy_core_target_pair,
	},
	{
		.old_name = "core_target_pair_a",
		.new_func = busy_core_target_pair_a,
	},
	{
		.old_name = "core_target_pair_b",
		.new_func = busy_core_target_pair_b,
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
	.replace = BUSY_REPLACE,
};

static int test_klp_core_busy_init(void)
{
	return klp_enable_patch(&patch);
}

static void test_klp_core_busy_exit(void)
{
}

module_init(test_klp_core_busy_init);
module_exit(test_klp_core_busy_exit);
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
