// SPDX-License-Identifier: GPL-2.0
/*
 * Kernel threads that exit at once, for test_klp_core_exit.
 *
 * Parameters, to be written while the module is loaded:
 *	sleeper		any write starts a thread called core_exit_sleep
 *	threads		so many threads called core_exit are started
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/err.h>
#include <linux/kernel.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/moduleparam.h>

static int exits_thread_fn(void *data)
{
	module_put_and_kthread_exit(0);
}

static int exits_start(const char *name)
{
	struct task_struct *task;

	__module_get(THIS_MODULE);
	task = kthread_run(exits_thread_fn, NULL, "%s", name);
	if (IS_ERR(task)) {
		module_put(THIS_MODULE);
		return PTR_ERR(task);
	}

	return 0;
}

static int set_sleeper(const char *val, const struct kernel_param *kp)
{
	return exits_start("core_exit_sleep");
}

static const struct kernel_param_ops sleeper_ops = {
	.set = set_sleeper,
};
module_param_cb(sleeper, &sleeper_ops, NULL, 0200);
MODULE_PARM_DESC(sleeper, "start a thread called core_exit_sleep");

static int set_threads(const char *val, const struct kernel_param *kp)
{
	unsigned int count;
	int ret;

	ret = kstrtouint(val, 0, &count);
	while (!ret && count--)
		ret = exits_start("core_exit");

	return ret;
}

static const struct kernel_param_ops threads_ops = {
	.set = set_threads,
};
module_param_cb(threads, &threads_ops, NULL, 0200);
MODULE_PARM_DESC(threads, "start so many threads called core_exit");

static int test_klp_core_exits_init(void)
{
	return 0;
}

static void test_klp_core_exits_exit(void)
{
}

module_init(test_klp_core_exits_init);
module_exit(test_klp_core_exits_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Livepatch test: kernel threads that exit");
