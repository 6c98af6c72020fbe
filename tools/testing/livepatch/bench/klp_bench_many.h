/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A livepatch of as many functions as are in a list, of any object. So that any
 * function can be in it, each is replaced by a thunk that goes on behind its
 * call site: what is done is what was done before, by way of the livepatch.
 */
#ifndef _KLP_BENCH_MANY_H
#define _KLP_BENCH_MANY_H

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/ftrace.h>
#include <linux/kernel.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/vmalloc.h>
#include "klp_bench_list.h"
#include "klp_bench_size.h"

#ifdef CONFIG_X86_KERNEL_IBT
#error "where call sites are behind an ENDBR, a thunk has to go on elsewhere"
#endif

static char *list;
module_param(list, charp, 0400);
MODULE_PARM_DESC(list, "file with a line 'ADDRESS FUNCTION' for each function");

static char *object = "";
module_param(object, charp, 0400);
MODULE_PARM_DESC(object, "module that the functions are of, empty for vmlinux");

static unsigned int count = 1;
module_param(count, uint, 0400);
MODULE_PARM_DESC(count, "how many of the list");

static bool replace;
module_param(replace, bool, 0400);
MODULE_PARM_DESC(replace, "in place of all other livepatches?");

extern const char klp_bench_thunks[][KLP_BENCH_THUNK_SIZE];
unsigned long klp_bench_thunk_targets[KLP_BENCH_FUNCTIONS];

static struct klp_func *klp_bench_funcs;
static struct klp_object klp_bench_objs[2];
static struct klp_patch klp_bench_patch = {
	.mod = THIS_MODULE,
	.objs = klp_bench_objs,
};
/* What the names of the functions are in. */
static char *klp_bench_text;

static int klp_bench_parse(char *text)
{
	unsigned int i;

	for (i = 0; i < count; i++) {
		char *name = klp_bench_list_next(&text, &klp_bench_thunk_targets[i]);

		if (IS_ERR(name)) {
			pr_err("cannot read function %u of the list\n", i);
			return PTR_ERR(name);
		}
		klp_bench_thunk_targets[i] += MCOUNT_INSN_SIZE;
		klp_bench_funcs[i].old_name = name;
		klp_bench_funcs[i].new_func = (void *)klp_bench_thunks[i];
	}
	return 0;
}

static void klp_bench_free(void)
{
	vfree(klp_bench_funcs);
	vfree(klp_bench_text);
}

static int __init klp_bench_many_init(void)
{
	int ret;

	if (!list || count > KLP_BENCH_FUNCTIONS)
		return -EINVAL;

	klp_bench_text = klp_bench_list_read(list);
	if (IS_ERR(klp_bench_text))
		return PTR_ERR(klp_bench_text);
	ret = -ENOMEM;
	klp_bench_funcs = vzalloc(array_size(count + 1, sizeof(*klp_bench_funcs)));
	if (!klp_bench_funcs)
		goto err;
	ret = klp_bench_parse(klp_bench_text);
	if (ret)
		goto err;

	klp_bench_objs[0].name = *object ? object : NULL;
	klp_bench_objs[0].funcs = klp_bench_funcs;
	klp_bench_patch.replace = replace;
	pr_info("here it is\n");
	ret = klp_enable_patch(&klp_bench_patch);
	if (!ret)
		return 0;
err:
	klp_bench_free();
	return ret;
}

static void __exit klp_bench_many_exit(void)
{
	klp_bench_free();
}

module_init(klp_bench_many_init);
module_exit(klp_bench_many_exit);
MODULE_DESCRIPTION("A livepatch of many functions");
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");

#endif /* _KLP_BENCH_MANY_H */
