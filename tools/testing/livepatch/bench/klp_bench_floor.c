// SPDX-License-Identifier: GPL-2.0
/*
 * What ftrace, RCU and the scheduler take for what no livepatch core can do
 * without. Reading a parameter does it and says how many microseconds it took;
 * "attach" is for the first "count" functions of klp_bench_target.
 */

#include <linux/ftrace.h>
#include <linux/kernel.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/workqueue.h>
#include "klp_bench_list.h"
#include "klp_bench_size.h"

static unsigned int count;
module_param(count, uint, 0600);

static unsigned long *sites;

/* Writing the name of a list as for klp_bench_many reads it. */
static int klp_bench_floor_list_set(const char *val, const struct kernel_param *kp)
{
	char path[64], *text, *rest, *name = NULL;
	unsigned int i;

	strscpy(path, val);
	text = klp_bench_list_read(strim(path));
	if (IS_ERR(text))
		return PTR_ERR(text);
	sites = vzalloc(array_size(KLP_BENCH_FUNCTIONS, sizeof(*sites)));
	if (!sites)
		name = ERR_PTR(-ENOMEM);
	rest = text;
	for (i = 0; !IS_ERR(name) && i < KLP_BENCH_FUNCTIONS; i++)
		name = klp_bench_list_next(&rest, &sites[i]);
	vfree(text);
	return PTR_ERR_OR_ZERO(name);
}

static const struct kernel_param_ops klp_bench_floor_list_ops = {
	.set = klp_bench_floor_list_set,
};
module_param_cb(list, &klp_bench_floor_list_ops, NULL, 0200);

static void notrace klp_bench_floor_called(unsigned long ip, unsigned long parent_ip,
					   struct ftrace_ops *ops, struct ftrace_regs *fregs)
{
}

static struct ftrace_ops klp_bench_floor_ops = {
	.func = klp_bench_floor_called,
	.flags = FTRACE_OPS_FL_RECURSION | FTRACE_OPS_FL_SAVE_REGS_IF_SUPPORTED,
};

static DEFINE_PER_CPU(struct work_struct, klp_bench_floor_works);

static void klp_bench_floor_work(struct work_struct *work)
{
}

static int klp_bench_floor_attach(void)
{
	int ret;

	if (!sites || count > KLP_BENCH_FUNCTIONS)
		return -EINVAL;
	ret = ftrace_set_filter_ips(&klp_bench_floor_ops, sites, count, 0, 1);
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
	int cpu;

	for_each_online_cpu(cpu) {
		struct work_struct *work = per_cpu_ptr(&klp_bench_floor_works, cpu);

		INIT_WORK(work, klp_bench_floor_work);
		schedule_work_on(cpu, work);
	}
	for_each_online_cpu(cpu)
		flush_work(per_cpu_ptr(&klp_bench_floor_works, cpu));
	return 0;
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
	vfree(sites);
}

module_init(klp_bench_floor_init);
module_exit(klp_bench_floor_exit);
MODULE_DESCRIPTION("What no livepatch core can do without");
MODULE_LICENSE("GPL");
