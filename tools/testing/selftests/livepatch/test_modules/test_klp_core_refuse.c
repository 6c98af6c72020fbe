// SPDX-License-Identifier: GPL-2.0
/*
 * What the Rust core cannot do yet, and has to say so: see
 * test-core-refusals.sh, and delete both together.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/compiler.h>
#include <linux/kernel.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/string.h>
#include "test_klp_core.h"

#define SHADOW_ID	0xc0de

static char *kind = "";
module_param(kind, charp, 0444);
MODULE_PARM_DESC(kind, "what is to be refused");

static int refuse_version = 43;

static int refuse_core_target_version(void)
{
	return READ_ONCE(refuse_version);
}

static struct klp_func funcs[] = {
	{
		.old_name = "core_target_version",
		.new_func = refuse_core_target_version,
	}, { }
};

static struct klp_func late_funcs[] = {
	{
		.old_name = "test_klp_core_late_func",
		.new_func = refuse_core_target_version,
	}, { }
};

static struct klp_object objs[] = {
	{
		.name = CORE_TARGET,
		.funcs = funcs,
	}, { }, { }
};

static struct klp_state states[] = {
	{
		.id = 1,
		.version = 1,
	}, { }
};

static struct klp_patch patch = {
	.mod = THIS_MODULE,
	.objs = objs,
};

/* Ends with an error in any case: the module has nothing to stay for. */
static int refuse_shadow(void)
{
	int *shadow = klp_shadow_alloc(&patch, SHADOW_ID, sizeof(*shadow),
				       GFP_KERNEL, NULL, NULL);

	pr_info("klp_shadow_alloc() returned %s\n", shadow ? "memory" : "NULL");
	pr_info("klp_shadow_get() returned %s\n",
		klp_shadow_get(&patch, SHADOW_ID) ? "memory" : "NULL");
	klp_shadow_free(&patch, SHADOW_ID, NULL);
	klp_shadow_free_all(SHADOW_ID, NULL);
	return -ECANCELED;
}

static int test_klp_core_refuse_init(void)
{
	int ret;

	if (!strcmp(kind, "shadow"))
		return refuse_shadow();

	if (!strcmp(kind, "replace")) {
		patch.replace = true;
	} else if (!strcmp(kind, "states")) {
		patch.states = states;
	} else if (!strcmp(kind, "late_object")) {
		objs[1].name = "test_klp_core_late";
		objs[1].funcs = late_funcs;
	} else {
		pr_err("no such kind: '%s'\n", kind);
		return -EPROTO;
	}

	ret = klp_enable_patch(&patch);
	pr_info("%s: klp_enable_patch() returned %d\n", kind, ret);
	return ret;
}

static void test_klp_core_refuse_exit(void)
{
}

module_init(test_klp_core_refuse_init);
module_exit(test_klp_core_refuse_exit);
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
MODULE_DESCRIPTION("Livepatch test: what the Rust core refuses for now");
