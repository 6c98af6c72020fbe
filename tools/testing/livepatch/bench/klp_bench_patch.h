// SPDX-License-Identifier: GPL-2.0
/*
 * A livepatch of klp_bench_call(), or of klp_bench_sleep() as well, or of that
 * alone and in place of all others.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/kernel.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include "klp_bench.h"

#ifndef KLP_BENCH_REPLACE
static KLP_BENCH_VERSION(klp_bench_new_call, 1)
#endif

#if defined(KLP_BENCH_HOLD) || defined(KLP_BENCH_REPLACE)
static KLP_BENCH_VERSION(klp_bench_new_sleep, 1)
#endif

static struct klp_func klp_bench_funcs[] = {
#ifndef KLP_BENCH_REPLACE
	{
		.old_name = "klp_bench_call",
		.new_func = klp_bench_new_call,
	},
#endif
#if defined(KLP_BENCH_HOLD) || defined(KLP_BENCH_REPLACE)
	{
		.old_name = "klp_bench_sleep",
		.new_func = klp_bench_new_sleep,
	},
#endif
	{ }
};

static struct klp_object klp_bench_objs[] = {
	{
		.name = "klp_bench",
		.funcs = klp_bench_funcs,
	},
	{ }
};

static struct klp_patch klp_bench_patch = {
	.mod = THIS_MODULE,
	.objs = klp_bench_objs,
#ifdef KLP_BENCH_REPLACE
	.replace = true,
#endif
};

static int __init klp_bench_patch_init(void)
{
	/* For klp-bench: up to here it is the module loader. */
	pr_info("here it is\n");
	return klp_enable_patch(&klp_bench_patch);
}

static void __exit klp_bench_patch_exit(void)
{
}

module_init(klp_bench_patch_init);
module_exit(klp_bench_patch_exit);
MODULE_DESCRIPTION("A livepatch of what is measured");
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
