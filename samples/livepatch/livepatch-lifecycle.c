// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The four operations of a livepatch's life
 *
 * Unlike a livepatch that is enabled when its module is loaded, and whose module
 * has to go when it is disabled, this one is registered. It can then be enabled
 * and disabled as often as you like, until its module is removed.
 *
 *	# insmod livepatch-lifecycle.ko
 *	# cat /sys/kernel/livepatch/livepatch_lifecycle/enabled
 *	0
 *	# echo 1 > /sys/kernel/livepatch/livepatch_lifecycle/enabled
 *	# cat /proc/cmdline
 *	this has been live patched
 *	# echo 0 > /sys/kernel/livepatch/livepatch_lifecycle/enabled
 *	# cat /proc/cmdline
 *	<your cmdline>
 *
 * The same by function calls, as a module would do it that decides by itself
 * when its livepatch is needed:
 *
 *	# echo Y > /sys/module/livepatch_lifecycle/parameters/needed
 *	# echo N > /sys/module/livepatch_lifecycle/parameters/needed
 *	# rmmod livepatch-lifecycle
 *
 * Needs CONFIG_LIVEPATCH_RUST. See Documentation/livepatch/lifecycle.rst.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/kernel.h>
#include <linux/kstrtox.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/seq_file.h>

static int lifecycle_cmdline_proc_show(struct seq_file *m, void *v)
{
	seq_puts(m, "this has been live patched\n");
	return 0;
}

static struct klp_func funcs[] = {
	{
		.old_name = "cmdline_proc_show",
		.new_func = lifecycle_cmdline_proc_show,
	}, { }
};

static struct klp_object objs[] = {
	{
		/* no name: vmlinux */
		.funcs = funcs,
	}, { }
};

static struct klp_patch patch = {
	.mod = THIS_MODULE,
	.objs = objs,
};

/*
 * Until the livepatch is registered, klp_enable_patch() would enable it for once.
 * Parameters can be set before the init function runs.
 */
static bool registered;

static int needed_set(const char *val, const struct kernel_param *kp)
{
	bool needed;
	int ret;

	ret = kstrtobool(val, &needed);
	if (ret)
		return ret;
	if (!registered)
		return -EAGAIN;

	/* Both return when the transition has begun: see "transition" in sysfs. */
	return needed ? klp_enable_patch(&patch) : klp_disable_patch(&patch);
}

static const struct kernel_param_ops needed_ops = {
	.set = needed_set,
};
module_param_cb(needed, &needed_ops, NULL, 0200);
MODULE_PARM_DESC(needed, "Y: enable the livepatch, N: disable it");

static int __init livepatch_lifecycle_init(void)
{
	int ret;

	ret = klp_register_patch(&patch);
	if (ret)
		return ret;

	registered = true;
	return 0;
}

static void __exit livepatch_lifecycle_exit(void)
{
	/*
	 * Cannot fail here: while the livepatch is enabled, or in transition, it
	 * holds a reference to the module.
	 */
	klp_unregister_patch(&patch);
}

module_init(livepatch_lifecycle_init);
module_exit(livepatch_lifecycle_exit);
MODULE_DESCRIPTION("The four operations of a livepatch's life");
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
