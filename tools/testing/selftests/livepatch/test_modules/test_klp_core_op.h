/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One of several livepatches for which the four operations can be called at
 * will, in any order, legal or not: by writing the name of one to
 * /sys/kernel/debug/<module>. The write ends with the operation's error.
 *
 * The file which includes this one defines OP_VERSION, OP_REPLACE if the
 * livepatch is to replace all others, and OP_NOT_BUSY if it does not patch
 * the function that tasks sleep in.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/compiler.h>
#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/kernel.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include "test_klp_core.h"

#ifndef OP_REPLACE
#define OP_REPLACE	false
#endif

static int op_version = OP_VERSION;
static struct dentry *op_file;

static int op_core_target_version(void)
{
	return READ_ONCE(op_version);
}

#ifndef OP_NOT_BUSY
static int op_core_target_busy(void (*sleep)(void))
{
	sleep();
	return READ_ONCE(op_version);
}
#endif

static struct klp_func target_funcs[] = {
	{
		.old_name = "core_target_version",
		.new_func = op_core_target_version,
	},
#ifndef OP_NOT_BUSY
	{
		.old_name = "core_target_busy",
		.new_func = op_core_target_busy,
	},
#endif
	{ }
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
	.replace = OP_REPLACE,
};

static int op_call(const char *name)
{
	if (sysfs_streq(name, "register"))
		return klp_register_patch(&patch);
	if (sysfs_streq(name, "enable"))
		return klp_enable_patch(&patch);
	if (sysfs_streq(name, "disable"))
		return klp_disable_patch(&patch);
	if (sysfs_streq(name, "unregister"))
		return klp_unregister_patch(&patch);
	return -ENOTTY;
}

static ssize_t op_write(struct file *file, const char __user *ubuf,
			size_t count, loff_t *pos)
{
	char name[16] = "";
	int ret;

	if (count >= sizeof(name))
		return -ENOTTY;
	if (copy_from_user(name, ubuf, count))
		return -EFAULT;

	ret = op_call(name);
	return ret ?: count;
}

/* A reference to the module for as long as the file is open. */
static const struct file_operations op_fops = {
	.owner = THIS_MODULE,
	.write = op_write,
};

static int op_init(void)
{
	op_file = debugfs_create_file(KBUILD_MODNAME, 0200, NULL, NULL, &op_fops);
	return PTR_ERR_OR_ZERO(op_file);
}

static void op_exit(void)
{
	debugfs_remove(op_file);
	/* It is not registered, or this succeeds: an enabled one keeps us here. */
	klp_unregister_patch(&patch);
}

module_init(op_init);
module_exit(op_exit);
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
MODULE_DESCRIPTION("Livepatch test: the four operations in any order");
