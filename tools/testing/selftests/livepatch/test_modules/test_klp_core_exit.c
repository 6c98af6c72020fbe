// SPDX-License-Identifier: GPL-2.0
/*
 * A livepatch for code that a task runs when it is off the list of tasks.
 *
 * release_task() calls release_thread() after it has taken the task from all
 * lists. A task that nobody waits for does that to itself on its way through
 * do_exit(), as a kernel thread always does.
 *
 * The threads of test_klp_core_exits meet the new code there: core_exit_sleep
 * sleeps until it is let go, a core_exit for a moment.
 *
 * Parameters, to be written and read while the module is loaded:
 *	release	any write lets the sleeper go
 *	inside	how many tasks are in the new code
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/atomic.h>
#include <linux/kernel.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/sched.h>
#include <linux/string.h>
#include <linux/wait.h>

static DECLARE_WAIT_QUEUE_HEAD(release_wq);
static atomic_t inside = ATOMIC_INIT(0);
static bool released;

static void exit_release_thread(struct task_struct *dead_task)
{
	atomic_inc(&inside);
	WARN_ON(dead_task->mm);
	if (dead_task == current) {
		if (!strcmp(current->comm, "core_exit_sleep"))
			wait_event_idle(release_wq, READ_ONCE(released));
		else if (!strcmp(current->comm, "core_exit"))
			schedule_timeout_idle(1);
	}
	atomic_dec(&inside);
}

static int set_release(const char *val, const struct kernel_param *kp)
{
	WRITE_ONCE(released, true);
	wake_up_all(&release_wq);

	return 0;
}

static const struct kernel_param_ops release_ops = {
	.set = set_release,
};
module_param_cb(release, &release_ops, NULL, 0200);
MODULE_PARM_DESC(release, "let it go");

static int get_inside(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%d\n", atomic_read(&inside));
}

static const struct kernel_param_ops inside_ops = {
	.get = get_inside,
};
module_param_cb(inside, &inside_ops, NULL, 0400);
MODULE_PARM_DESC(inside, "number of tasks in the new code");

static struct klp_func funcs[] = {
	{
		.old_name = "release_thread",
		.new_func = exit_release_thread,
	}, { }
};

static struct klp_object objs[] = {
	{
		/* name being NULL means vmlinux */
		.funcs = funcs,
	}, { }
};

static struct klp_patch patch = {
	.mod = THIS_MODULE,
	.objs = objs,
};

static int test_klp_core_exit_init(void)
{
	return klp_enable_patch(&patch);
}

static void test_klp_core_exit_exit(void)
{
}

module_init(test_klp_core_exit_init);
module_exit(test_klp_core_exit_exit);
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
MODULE_DESCRIPTION("Livepatch test: tasks that exit");
