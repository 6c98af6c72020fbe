// SPDX-License-Identifier: GPL-2.0
/*
 * Descriptors that no livepatch should have, one by one. Prints what
 * klp_enable_patch() returned, and fails to load with this very error.
 *
 * The module depends on no other one, and the replacement functions are never
 * run with arguments that they do not expect: all patched functions answer an
 * int and take nothing, or are not reached.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/compiler.h>
#include <linux/kallsyms.h>
#include <linux/kernel.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/string.h>
#include "test_klp_core.h"

static char *kind = "";
module_param(kind, charp, 0444);
MODULE_PARM_DESC(kind, "what is wrong with the descriptor");

static char *object;
module_param(object, charp, 0444);
MODULE_PARM_DESC(object, "kind=func: name of the object, none for vmlinux");

static char *symbol = "core_target_version";
module_param(symbol, charp, 0444);
MODULE_PARM_DESC(symbol, "kind=func: name of the function");

static unsigned long sympos;
module_param(sympos, ulong, 0444);
MODULE_PARM_DESC(sympos, "kind=func: position of the symbol");

static unsigned int len;
module_param(len, uint, 0444);
MODULE_PARM_DESC(len, "kind=long_func, long_object: length of the name");

static int bad_version = 42;
static char long_name[2 * KSYM_NAME_LEN];

static int bad_new_func(void)
{
	return READ_ONCE(bad_version);
}

static int bad_new_func2(void)
{
	return READ_ONCE(bad_version);
}

static struct klp_func funcs[4];
static struct klp_func funcs2[2];
static struct klp_object objs[3];

static struct klp_patch patch = {
	.mod = THIS_MODULE,
	.objs = objs,
};

static struct klp_patch second_patch = {
	.mod = THIS_MODULE,
	.objs = objs,
};

static int enable(struct klp_patch *p)
{
	int ret = klp_enable_patch(p);

	pr_info("%s: klp_enable_patch() returned %d\n", kind, ret);
	return ret;
}

static int test_klp_bad_init(void)
{
	struct klp_patch *second = NULL;
	struct klp_patch *first = &patch;
	int ret;

	/* What the kinds below start from is all right. */
	objs[0].name = CORE_TARGET;
	objs[0].funcs = funcs;
	funcs[0].old_name = "core_target_version";
	funcs[0].new_func = bad_new_func;

	if (!strcmp(kind, "good")) {
		/* nothing wrong */
	} else if (!strcmp(kind, "null_patch")) {
		first = NULL;
	} else if (!strcmp(kind, "null_mod")) {
		patch.mod = NULL;
	} else if (!strcmp(kind, "null_objs")) {
		patch.objs = NULL;
	} else if (!strcmp(kind, "null_funcs")) {
		objs[0].funcs = NULL;
	} else if (!strcmp(kind, "null_funcs_second")) {
		objs[1].name = "test_klp_mod_target";
	} else if (!strcmp(kind, "no_old_name")) {
		funcs[0].old_name = NULL;
	} else if (!strcmp(kind, "no_old_name_second")) {
		funcs[1].new_func = bad_new_func2;
	} else if (!strcmp(kind, "only_sympos")) {
		funcs[0].old_name = NULL;
		funcs[0].new_func = NULL;
		funcs[0].old_sympos = 1;
	} else if (!strcmp(kind, "no_new_func")) {
		funcs[0].new_func = NULL;
	} else if (!strcmp(kind, "no_new_func_second")) {
		funcs[1].old_name = "core_target_version2";
	} else if (!strcmp(kind, "no_code")) {
		/* an address at which there is no function */
		funcs[0].new_func = (void *)1;
	} else if (!strcmp(kind, "func")) {
		objs[0].name = object;
		funcs[0].old_name = symbol;
		funcs[0].old_sympos = sympos;
	} else if (!strcmp(kind, "func_second")) {
		/* the first function is fine, and must be given back */
		funcs[1].old_name = symbol;
		funcs[1].new_func = bad_new_func2;
		funcs[1].old_sympos = sympos;
	} else if (!strcmp(kind, "long_func")) {
		memset(long_name, 'f', min_t(size_t, len, sizeof(long_name) - 1));
		funcs[0].old_name = long_name;
	} else if (!strcmp(kind, "long_object")) {
		memset(long_name, 'o', min_t(size_t, len, sizeof(long_name) - 1));
		objs[0].name = long_name;
	} else if (!strcmp(kind, "empty_func_name")) {
		objs[0].name = NULL;
		funcs[0].old_name = "";
	} else if (!strcmp(kind, "empty_object_name")) {
		objs[0].name = "";
	} else if (!strcmp(kind, "empty_objs")) {
		memset(objs, 0, sizeof(objs));
	} else if (!strcmp(kind, "empty_funcs")) {
		memset(funcs, 0, sizeof(funcs));
	} else if (!strcmp(kind, "dup_func")) {
		funcs[1].old_name = "core_target_version";
		funcs[1].new_func = bad_new_func2;
	} else if (!strcmp(kind, "dup_func_sympos")) {
		/* positions 0 and 1 are the same, if the name is unique */
		funcs[1].old_name = "core_target_version";
		funcs[1].new_func = bad_new_func2;
		funcs[1].old_sympos = 1;
	} else if (!strcmp(kind, "alias")) {
		/* two names of one function */
		funcs[0].old_name = "core_target_name";
		funcs[1].old_name = "core_target_alias";
		funcs[1].new_func = bad_new_func2;
	} else if (!strcmp(kind, "dup_object")) {
		funcs2[0].old_name = "core_target_version2";
		funcs2[0].new_func = bad_new_func2;
		objs[1].name = CORE_TARGET;
		objs[1].funcs = funcs2;
	} else if (!strcmp(kind, "enable_twice")) {
		second = &patch;
	} else if (!strcmp(kind, "same_module")) {
		second = &second_patch;
	} else {
		pr_err("no such kind: '%s'\n", kind);
		return -EPROTO;
	}

	ret = enable(first);
	if (ret)
		return ret;

	/* The first one stays enabled, whatever becomes of the second. */
	if (second)
		enable(second);

	return 0;
}

static void test_klp_bad_exit(void)
{
}

module_init(test_klp_bad_init);
module_exit(test_klp_bad_exit);
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
MODULE_DESCRIPTION("Livepatch test: bad descriptors");
