/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A livepatch of as many functions as are in a list, of any object. So that any
 * function can be in it, each is replaced by a thunk that goes on behind its
 * call site: what is done is what was done before, by way of the livepatch.
 */
#ifndef _KLP_BENCH_MANY_H
#define _KLP_BENCH_MANY_H

#ifdef __ASSEMBLY__
#error "klp_bench_thunks.h is for assembly"
#endif

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/ftrace.h>
#include <linux/kernel.h>
#include <linux/kernel_read_file.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>
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
static char *klp_bench_names;

static int klp_bench_parse(char *text)
{
	unsigned int i;
	int ret;

	for (i = 0; i < count; i++) {
		char *line = strsep(&text, "\n");
		char *address = strsep(&line, " ");

		if (!line) {
			pr_err("there are only %u functions in the list\n", i);
			return -EINVAL;
		}
		ret = kstrtoul(address, 16, &klp_bench_thunk_targets[i]);
		if (ret)
			return ret;
		klp_bench_thunk_targets[i] += MCOUNT_INSN_SIZE;
		klp_bench_funcs[i].old_name = line;
		klp_bench_funcs[i].new_func = (void *)klp_bench_thunks[i];
	}
	return 0;
}

static int __init klp_bench_many_init(void)
{
	void *text = NULL;
	ssize_t size;
	int ret = -ENOMEM;

	if (!list || count > KLP_BENCH_FUNCTIONS)
		return -EINVAL;

	size = kernel_read_file_from_path(list, 0, &text, SZ_4M, NULL, READING_UNKNOWN);
	if (size < 0)
		return size;
	klp_bench_names = vmalloc(size + 1);
	klp_bench_funcs = vzalloc(array_size(count + 1, sizeof(*klp_bench_funcs)));
	if (!klp_bench_names || !klp_bench_funcs)
		goto out;
	memcpy(klp_bench_names, text, size);
	klp_bench_names[size] = '\0';
	ret = klp_bench_parse(klp_bench_names);
	if (ret)
		goto out;

	klp_bench_objs[0].name = *object ? object : NULL;
	klp_bench_objs[0].funcs = klp_bench_funcs;
	klp_bench_patch.replace = replace;
	pr_info("here it is\n");
	ret = klp_enable_patch(&klp_bench_patch);
out:
	vfree(text);
	if (ret) {
		vfree(klp_bench_funcs);
		vfree(klp_bench_names);
	}
	return ret;
}

static void __exit klp_bench_many_exit(void)
{
	vfree(klp_bench_funcs);
	vfree(klp_bench_names);
}

module_init(klp_bench_many_init);
module_exit(klp_bench_many_exit);
MODULE_DESCRIPTION("A livepatch of many functions");
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");

#endif /* _KLP_BENCH_MANY_H */
