// SPDX-License-Identifier: GPL-2.0
/*
 * What ftrace, RCU and the scheduler take for what no livepatch core can do
 * without. Reading a parameter does it and says how many microseconds it took;
 * "attach" is for the functions that were written to "functions".
 */

#include <linux/ftrace.h>
#include <linux/kernel.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/string.h>
#include <linux/workqueue.h>

static char functions[64];
module_param_string(functions, functions, sizeof(functions), 0644);

static void notrace klp_bench_floor_called(unsigned long ip, unsigned long parent_ip,
					   struct ftrace_ops *ops, struct ftrace_regs *fregs)
{
}

static struct ftrace_ops klp_bench_floor_ops = {
	.func = klp_bench_floor_called,
	.flags = FTRACE_OPS_FL_RECURSION | FTRACE_OPS_FL_SAVE_REGS_IF_SUPPORTED,
};

static void klp_bench_floor_work(struct work_struct *work)
{
}

static int klp_bench_floor_attach(void)
{
	char *filter = strim(functions);
	int ret;

	ret = ftrace_set_filter(&klp_bench_floor_ops, filter, strlen(filter), 1);
	return ret ?: register_ftrace_function(&klp_bench_floor_ops);
}

static int klp_bench_floor_detach(void)
{
	return unregister_ftrace_function(&klp_bench_floor_ops);
}

static int klp_bench_floor_rcu(void)
{
	synchronize_rcu();
	return 0;
}

static int klp_bench_floor_rcu_tasks(void)
{
	synchronize_rcu_tasks();
	return 0;
}

static int klp_bench_floor_cpus(void)
{
	return schedule_on_each_cpu(klp_bench_floor_work);
}

#define KLP_BENCH_FLOOR(name)							\
static int klp_bench_floor_##name##_get(char *buf, const struct kernel_param *kp) \
{										\
	u64 start = ktime_get_ns();						\
	int ret = klp_bench_floor_##name();					\
										\
	return ret ?: sysfs_emit(buf, "%llu\n", (ktime_get_ns() - start) / 1000); \
}										\
										\
static const struct kernel_param_ops klp_bench_floor_##name##_ops = {		\
	.get = klp_bench_floor_##name##_get,					\
};										\
module_param_cb(name, &klp_bench_floor_##name##_ops, NULL, 0400)

KLP_BENCH_FLOOR(attach);
KLP_BENCH_FLOOR(detach);
KLP_BENCH_FLOOR(rcu);
KLP_BENCH_FLOOR(rcu_tasks);
KLP_BENCH_FLOOR(cpus);

static int __init klp_bench_floor_init(void)
{
	return 0;
}

static void __exit klp_bench_floor_exit(void)
{
}

module_init(klp_bench_floor_init);
module_exit(klp_bench_floor_exit);
MODULE_DESCRIPTION("What no livepatch core can do without");
MODULE_LICENSE("GPL");
