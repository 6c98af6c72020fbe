// SPDX-License-Identifier: GPL-2.0
/*
 * A function to be patched, and what a call of it costs. In the VM, with
 * QEMU's -icount shift=0, a nanosecond is an instruction.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/completion.h>
#include <linux/ftrace.h>
#include <linux/kernel.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/timekeeping.h>
#include "klp_bench.h"

/* The clock of some machines ticks once in many instructions. */
#define CALLS 10000

KLP_BENCH_VERSION(klp_bench_call, 0)

static DECLARE_COMPLETION(klp_bench_released);

/* Whoever is in here holds a transition of the function up. */
noinline int klp_bench_sleep(void)
{
	int ret = wait_for_completion_interruptible(&klp_bench_released);

	OPTIMIZER_HIDE_VAR(ret);
	return ret;
}

/* The state of the task while it measures; -1 for the one that it has. */
static int side = -1;
module_param(side, int, 0644);
MODULE_PARM_DESC(side, "patch state of a task that measures, -1 for its own");

static u64 klp_bench_loop(void)
{
	u64 start = ktime_get_raw_fast_ns();
	unsigned int i;

	for (i = CALLS; i; i--)
		barrier();

	return ktime_get_raw_fast_ns() - start;
}

static u64 klp_bench_calls(void)
{
	u64 start = ktime_get_raw_fast_ns();
	unsigned int i;

	for (i = CALLS; i; i--)
		klp_bench_call();

	return ktime_get_raw_fast_ns() - start;
}

/* Tenths of an instruction for one call, all that is called included. */
static int klp_bench_cost_get(char *buf, const struct kernel_param *kp)
{
	unsigned long flags;
	int patch_state;
	u64 instructions;

	local_irq_save(flags);
	patch_state = current->patch_state;
	if (side >= 0)
		WRITE_ONCE(current->patch_state, side);
	/* The first call may find caches cold, and this is no bench of that. */
	klp_bench_call();
	instructions = klp_bench_calls() - klp_bench_loop();
	WRITE_ONCE(current->patch_state, patch_state);
	local_irq_restore(flags);

	return sysfs_emit(buf, "%llu\n", instructions * 10 / CALLS);
}

static const struct kernel_param_ops klp_bench_cost_ops = {
	.get = klp_bench_cost_get,
};
module_param_cb(cost, &klp_bench_cost_ops, NULL, 0444);
MODULE_PARM_DESC(cost, "tenths of an instruction for one call");

/* Reading sleeps until somebody writes. */
static int klp_bench_hold_get(char *buf, const struct kernel_param *kp)
{
	int ret;

	/* Nobody else can use a parameter of this module meanwhile. */
	kernel_param_unlock(THIS_MODULE);
	ret = klp_bench_sleep();
	kernel_param_lock(THIS_MODULE);

	return sysfs_emit(buf, "%d\n", ret);
}

static int klp_bench_hold_set(const char *val, const struct kernel_param *kp)
{
	complete(&klp_bench_released);
	return 0;
}

static const struct kernel_param_ops klp_bench_hold_ops = {
	.get = klp_bench_hold_get,
	.set = klp_bench_hold_set,
};
module_param_cb(hold, &klp_bench_hold_ops, NULL, 0644);
MODULE_PARM_DESC(hold, "read to sleep in a function, write to leave it");

static int __init klp_bench_init(void)
{
	return 0;
}

static void __exit klp_bench_exit(void)
{
}

module_init(klp_bench_init);
module_exit(klp_bench_exit);
MODULE_DESCRIPTION("What a call of a patched function costs");
MODULE_LICENSE("GPL");
