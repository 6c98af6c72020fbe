// SPDX-License-Identifier: GPL-2.0
/*
 * A livepatch which refers to symbols that it cannot have by ordinary means:
 * of vmlinux, not exported, and of a module which may come and go.
 *
 * As it is built, these symbols are weak, and undefined: nothing in here works
 * before test_klp-mkrela has made livepatch relocations out of the references
 * to them. Then the names of the real symbols are known, too.
 *
 * There are references in the data and in the code, with relocations of
 * different kinds:
 *
 *	klp_vmlinux_data	anything in vmlinux
 *	klp_vmlinux_text	a char * in vmlinux
 *	klp_target_data		an int in the target module
 *	klp_target_text		an int (*)(void) in the target module
 *
 * /proc/cmdline shows the addresses that the data refers to, and the string.
 * core_target_version() answers the number, core_target_version2() what the
 * function answers.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/compiler.h>
#include <linux/kernel.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include "test_klp_core.h"

static bool registered;
module_param(registered, bool, 0444);
MODULE_PARM_DESC(registered, "register the livepatch, do not enable it");

static int pre_patch_ret;
module_param(pre_patch_ret, int, 0644);
MODULE_PARM_DESC(pre_patch_ret, "what the callback for the target answers");

extern int klp_vmlinux_data;
extern char *klp_vmlinux_text;
extern int klp_target_data;
int klp_target_text(void);

/*
 * The compiler need not know that they are weak: it would take their addresses
 * from a table on some architectures, which modules do not have.
 */
asm(".weak klp_vmlinux_data, klp_vmlinux_text, klp_target_data, klp_target_text");

static int *vmlinux_data = &klp_vmlinux_data;
static int *target_data = &klp_target_data;

static int reloc_cmdline_proc_show(struct seq_file *m, void *v)
{
	seq_printf(m, "%s: %px %px %s\n", THIS_MODULE->name,
		   READ_ONCE(vmlinux_data), READ_ONCE(target_data),
		   READ_ONCE(klp_vmlinux_text));
	return 0;
}

static int reloc_core_target_version(void)
{
	return READ_ONCE(*READ_ONCE(target_data));
}

static int reloc_core_target_version2(void)
{
	/* Not the last thing that is done: a call and no jump. */
	int answer = klp_target_text();

	barrier();
	return answer;
}

static int reloc_pre_patch(struct klp_object *obj)
{
	return READ_ONCE(pre_patch_ret);
}

static struct klp_func vmlinux_funcs[] = {
	{
		.old_name = "cmdline_proc_show",
		.new_func = reloc_cmdline_proc_show,
	}, { }
};

static struct klp_func target_funcs[] = {
	{
		.old_name = "core_target_version",
		.new_func = reloc_core_target_version,
	},
	{
		.old_name = "core_target_version2",
		.new_func = reloc_core_target_version2,
	}, { }
};

static struct klp_object objs[] = {
	{
		/* name being NULL means vmlinux */
		.funcs = vmlinux_funcs,
	},
	{
		.name = CORE_TARGET,
		.funcs = target_funcs,
		.callbacks = {
			.pre_patch = reloc_pre_patch,
		},
	}, { }
};

static struct klp_patch patch = {
	.mod = THIS_MODULE,
	.objs = objs,
};

static int test_klp_core_reloc_init(void)
{
	if (registered)
		return core_register_patch(&patch);

	return klp_enable_patch(&patch);
}

static void test_klp_core_reloc_exit(void)
{
	if (registered)
		core_unregister_patch(&patch);
}

module_init(test_klp_core_reloc_init);
module_exit(test_klp_core_reloc_exit);
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
MODULE_DESCRIPTION("Livepatch test: livepatch relocations");
