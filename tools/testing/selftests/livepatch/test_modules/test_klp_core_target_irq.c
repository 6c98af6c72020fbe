// SPDX-License-Identifier: GPL-2.0
/*
 * Interrupts that call a patched function. They have no state of their own:
 * what they call is up to the task upon which they come.
 *
 * /sys/kernel/debug/test_klp_core/
 *	irq			1: a timer on each processor calls
 *				core_target_version() in interrupt context;
 *				0: stop them
 *	irq_stats		calls whose answer was not that of the task's
 *				state; right ones upon tasks not switched to a
 *				livepatch; upon switched ones; answers 0 upon
 *				the spinning kthread; other answers upon it
 *	spin			1: a kthread spins in core_target_busy();
 *				2: the same, and gives the processor away only
 *				when it is taken; 0: let it go; reading shows what
 *				core_target_version() answers the kthread, -1
 *				as long as it has not asked
 */

#include <linux/atomic.h>
#include <linux/debugfs.h>
#include <linux/err.h>
#include <linux/hrtimer.h>
#include <linux/kernel.h>
#include <linux/kthread.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/smp.h>
#include "test_klp_core_target.h"

static int (**version)(void);
static int (**busy)(void (*sleep)(void));

static DEFINE_MUTEX(irq_lock);
static DEFINE_PER_CPU(struct hrtimer, irq_timer);
static bool irq_on;

static struct task_struct *spin_thread;
static int spin_answer = -1;

static atomic_t irq_wrong = ATOMIC_INIT(0);
static atomic_t irq_right[2];
static atomic_t irq_spin[2];

static enum hrtimer_restart irq_tick(struct hrtimer *timer)
{
	int state = READ_ONCE(current->patch_state);
	int answer = READ_ONCE(*version)();

	if (current == READ_ONCE(spin_thread))
		atomic_inc(&irq_spin[!!answer]);

	/* Without a transition there is no state; it may begin or end now. */
	if (state >= 0 && state == READ_ONCE(current->patch_state)) {
		if (in_hardirq() && !!answer == state)
			atomic_inc(&irq_right[state]);
		else
			atomic_inc(&irq_wrong);
	}

	hrtimer_forward_now(timer, NSEC_PER_MSEC);
	return HRTIMER_RESTART;
}

static void irq_start(void *unused)
{
	hrtimer_start(this_cpu_ptr(&irq_timer), NSEC_PER_MSEC, HRTIMER_MODE_REL_PINNED_HARD);
}

static int irq_set(void *data, u64 val)
{
	int cpu;

	mutex_lock(&irq_lock);
	if (val && !irq_on)
		on_each_cpu(irq_start, NULL, 1);
	else if (!val && irq_on)
		for_each_possible_cpu(cpu)
			hrtimer_cancel(per_cpu_ptr(&irq_timer, cpu));
	irq_on = val;
	mutex_unlock(&irq_lock);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(irq_fops, NULL, irq_set, "%llu\n");

static int irq_stats_show(struct seq_file *m, void *v)
{
	seq_printf(m, "%d %d %d %d %d\n", atomic_read(&irq_wrong),
		   atomic_read(&irq_right[0]), atomic_read(&irq_right[1]),
		   atomic_read(&irq_spin[0]), atomic_read(&irq_spin[1]));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(irq_stats);

static void spin_until_stop(void)
{
	while (!kthread_should_stop()) {
		WRITE_ONCE(spin_answer, READ_ONCE(*version)());
		/* Attaching and detaching functions waits for this one, too. */
		cond_resched_tasks_rcu_qs();
	}
}

static void spin_preempted_until_stop(void)
{
	while (!kthread_should_stop()) {
		WRITE_ONCE(spin_answer, READ_ONCE(*version)());
		cpu_relax();
	}
}

static int spin_thread_fn(void *spin)
{
	/* Where the interrupt looks. */
	WRITE_ONCE(spin_thread, current);
	READ_ONCE(*busy)(spin);
	return 0;
}

static int spin_get(void *data, u64 *val)
{
	*val = READ_ONCE(spin_answer);
	return 0;
}

static int spin_set(void *data, u64 val)
{
	static struct task_struct *thread;
	int ret = 0;

	mutex_lock(&irq_lock);
	if (thread && !val) {
		kthread_stop(thread);
		WRITE_ONCE(spin_thread, NULL);
		thread = NULL;
	} else if (!thread && val) {
		WRITE_ONCE(spin_answer, -1);
		thread = kthread_run(spin_thread_fn, val == 2 ?
				     spin_preempted_until_stop : spin_until_stop,
				     "core_spinner");
		if (IS_ERR(thread)) {
			ret = PTR_ERR(thread);
			thread = NULL;
		}
	}
	mutex_unlock(&irq_lock);
	return ret;
}
DEFINE_DEBUGFS_ATTRIBUTE(spin_fops, spin_get, spin_set, "%lld\n");

void core_target_irq_init(struct dentry *dir, int (**version_fn)(void),
			  int (**busy_fn)(void (*sleep)(void)))
{
	int cpu;

	version = version_fn;
	busy = busy_fn;
	for_each_possible_cpu(cpu)
		hrtimer_setup(per_cpu_ptr(&irq_timer, cpu), irq_tick, CLOCK_MONOTONIC,
			      HRTIMER_MODE_REL_PINNED_HARD);

	debugfs_create_file("irq", 0200, dir, NULL, &irq_fops);
	debugfs_create_file("irq_stats", 0444, dir, NULL, &irq_stats_fops);
	debugfs_create_file("spin", 0600, dir, NULL, &spin_fops);
}

void core_target_irq_exit(void)
{
	irq_set(NULL, 0);
	spin_set(NULL, 0);
}
