// SPDX-License-Identifier: GPL-2.0
/*
 * Walking over tasks and over the stack of one task.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpu.h>
#include <linux/livepatch.h>
#include <linux/livepatch_exit.h>
#include <linux/percpu.h>
#include <linux/printk.h>
#include <linux/rculist.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/sched/task_stack.h>
#include <linux/spinlock.h>
#include <linux/stacktrace.h>
#include "shim.h"

/*
 * How many tasks klp_shim_each_task_in_batches() handles before it lets others
 * have tasklist_lock: some hundred microseconds worth of stack walks, where a
 * writer spins with interrupts off.
 */
#define KLP_TASKS_PER_BATCH	128

/* How often klp_shim_each_task_in_batches() starts anew. */
#define KLP_WALKS		10

/*
 * Tasks on their way from exit_notify() to their end: whoever is unhashed there
 * is in no list but this one. Per CPU, as there may be many at a time; readers
 * take RCU, which keeps a task until after it has scheduled for the last time.
 */
struct klp_exit_list {
	raw_spinlock_t lock;
	struct hlist_head tasks;
};

static DEFINE_PER_CPU(struct klp_exit_list, klp_exit_lists) = {
	.lock = __RAW_SPIN_LOCK_UNLOCKED(klp_exit_lists.lock),
};

/*
 * Under tasklist_lock for writing, with interrupts off. From here on, the task
 * never sleeps in a freezable state, where schedule() would move it: see
 * TransitionOps::each_task() in model/protocol.rs.
 */
void klp_exit_start(void)
{
	struct klp_exit_list *list;

	current->klp_exit_cpu = raw_smp_processor_id();
	list = per_cpu_ptr(&klp_exit_lists, current->klp_exit_cpu);

	guard(raw_spinlock)(&list->lock);
	hlist_add_head_rcu(&current->klp_exit_entry, &list->tasks);
}

/*
 * klp_shim_synchronize() covers the rest of a task's life: preemption stays
 * disabled until it schedules for the last time. Interrupts are off as they may
 * take tasklist_lock, under which others wait for this lock.
 */
void klp_exit_finish(void)
{
	struct klp_exit_list *list;

	list = per_cpu_ptr(&klp_exit_lists, current->klp_exit_cpu);

	guard(raw_spinlock_irqsave)(&list->lock);
	hlist_del_rcu(&current->klp_exit_entry);
}

/*
 * After the walk over all tasks: a task is here before it can leave their list.
 * One that died of a fault in do_exit() stays, and so does its task_struct; it
 * never runs again.
 */
#define klp_for_each_exiting_task(cpu, task)				\
	for_each_possible_cpu(cpu)					\
		hlist_for_each_entry_rcu(task,				\
				&per_cpu_ptr(&klp_exit_lists, cpu)->tasks, \
				klp_exit_entry)				\
			if (READ_ONCE((task)->__state) == TASK_DEAD) {	\
			} else

/* What @fn returns is for klp_shim_each_task_in_batches(). */
void klp_shim_each_task(bool (*fn)(struct task_struct *task, void *data),
			void *data)
{
	struct task_struct *g, *task;
	unsigned int cpu;

	read_lock(&tasklist_lock);
	for_each_process_thread(g, task)
		fn(task, data);
	read_unlock(&tasklist_lock);

	guard(rcu)();
	klp_for_each_exiting_task(cpu, task)
		fn(task, data);
}

/*
 * Like klp_shim_each_task(), but gives up tasklist_lock when @fn did real work
 * (returned true) for KLP_TASKS_PER_BATCH tasks.
 *
 * Tasks may come and go meanwhile. A new process or thread is added at the end
 * of its list. If that list was already walked, it inherits the state of the
 * thread that made it, which was met.
 *
 * The walk starts anew if the task that it had stopped at is gone, and with it
 * the place to go on from. Returns false if that happens again and again: not
 * all tasks were met.
 */
bool klp_shim_each_task_in_batches(bool (*fn)(struct task_struct *task,
					      void *data),
				   void *data)
{
	struct task_struct *g, *task;
	unsigned int worked, walks, cpu;
	bool on_list = false;

	for (walks = 0; walks < KLP_WALKS; walks++) {
		worked = 0;
		on_list = true;

		read_lock(&tasklist_lock);
		for_each_process_thread(g, task) {
			worked += fn(task, data);
			if (worked < KLP_TASKS_PER_BATCH)
				continue;

			worked = 0;
			get_task_struct(g);
			get_task_struct(task);
			read_unlock(&tasklist_lock);
			cond_resched();
			read_lock(&tasklist_lock);
			/* Exited, or lost its place to a thread that called exec? */
			on_list = pid_alive(task) && pid_alive(g) &&
				  thread_group_leader(g);
			put_task_struct(task);
			put_task_struct(g);
			if (!on_list)
				goto next_walk;
		}
next_walk:
		read_unlock(&tasklist_lock);
		if (on_list)
			break;
	}

	guard(rcu)();
	klp_for_each_exiting_task(cpu, task)
		fn(task, data);

	return on_list;
}

void klp_shim_each_idle_task(void (*fn)(struct task_struct *task, bool online,
					unsigned int cpu, void *data),
			     void *data)
{
	unsigned int cpu;

	cpus_read_lock();
	for_each_possible_cpu(cpu)
		fn(idle_task(cpu), cpu_online(cpu), cpu, data);
	cpus_read_unlock();
}

/*
 * @task must be current or unable to run. Returns what
 * arch_stack_walk_reliable() returns; a task whose stack is already gone has
 * nothing to walk.
 */
int klp_shim_walk_stack(struct task_struct *task,
			bool (*consume)(void *cookie, unsigned long addr),
			void *cookie)
{
	int ret;

	if (!try_get_task_stack(task))
		return 0;

	ret = arch_stack_walk_reliable(consume, cookie, task);
	put_task_stack(task);

	return ret;
}

/*
 * Runs klp_check_and_switch_task() on @task while it cannot run and tells why
 * it failed. The name is interface: administrators silence these messages by
 * "func klp_try_switch_task -p".
 */
int klp_try_switch_task(struct task_struct *task)
{
	const char *old_name = NULL;
	int ret;

	if (task == current) {
		/* What the check reads is protected by that, see publish.rs. */
		preempt_disable();
		ret = klp_check_and_switch_task(task, &old_name);
		preempt_enable();
	} else {
		ret = task_call_func(task, klp_check_and_switch_task, &old_name);
	}

	switch (ret) {
	case 0:
		break;
	case -EBUSY:
		pr_debug("%s: %s:%d is running\n",
			 __func__, task->comm, task->pid);
		break;
	case -EINVAL:
		pr_debug("%s: %s:%d has an unreliable stack\n",
			 __func__, task->comm, task->pid);
		break;
	case -EADDRINUSE:
		pr_debug("%s: %s:%d is sleeping on function %s\n",
			 __func__, task->comm, task->pid, old_name);
		break;
	default:
		pr_debug("%s: Unknown error code (%d) when trying to switch %s:%d\n",
			 __func__, ret, task->comm, task->pid);
		break;
	}

	return ret;
}
