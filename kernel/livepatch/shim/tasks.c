// SPDX-License-Identifier: GPL-2.0
/*
 * Walking over tasks and over the stack of one task.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpu.h>
#include <linux/ftrace.h>
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
#include <trace/events/livepatch.h>
#include "shim.h"

/* How many tasks are visited before others get their turn on this CPU. */
#define KLP_TASKS_PER_TURN	256

/* How many times a walk may lose its place before it gives no turns any more. */
#define KLP_LOST_WALKS		10

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

/* Under tasklist_lock for writing. No interrupt handler takes the list's lock. */
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
 * Nobody holds tasklist_lock over a walk: with 100,000 tasks, that would stop
 * all forks and exits for milliseconds. Who takes it here and drops it has seen
 * all tasks on their lists that were put there under it before, and those who
 * take it later see what was written before.
 */
void klp_shim_synchronize_forks(void)
{
	read_lock(&tasklist_lock);
	read_unlock(&tasklist_lock);
}

/*
 * Lets others run in the middle of a walk under RCU. Returns false if one of
 * the tasks that the walk stands on was taken off its list meanwhile, or may
 * have been: there is no way on from there.
 */
static bool klp_give_turn(struct task_struct *g, struct task_struct *task)
{
	bool listed;

	get_task_struct(g);
	get_task_struct(task);
	rcu_read_unlock();
	cond_resched();
	rcu_read_lock();
	/* Exited, or lost its place to a thread that called exec? */
	listed = pid_alive(task) && pid_alive(g) && thread_group_leader(g);
	put_task_struct(task);
	put_task_struct(g);

	return listed;
}

/* Returns false if the walk has lost its place and not come to the end. */
static bool klp_walk(void (*fn)(struct task_struct *task, void *data),
		     void *data, bool turns)
{
	struct task_struct *g, *task;
	unsigned int visits = 0;

	guard(rcu)();
	for_each_process_thread(g, task) {
		fn(task, data);
		if (++visits % KLP_TASKS_PER_TURN == 0 && turns &&
		    !klp_give_turn(g, task))
			return false;
	}

	return true;
}

/*
 * A task is in its CPU's list of exiting tasks before it leaves that of all
 * tasks. One that died of a fault in do_exit() stays, and so does its
 * task_struct; it never runs again.
 */
static void klp_walk_exiting(void (*fn)(struct task_struct *task, void *data),
			     void *data)
{
	struct task_struct *task;
	unsigned int cpu;

	/* Who was missed by the walk before has come here before this. */
	klp_shim_synchronize_forks();

	for_each_possible_cpu(cpu) {
		rcu_read_lock();
		hlist_for_each_entry_rcu(task,
					 &per_cpu_ptr(&klp_exit_lists, cpu)->tasks,
					 klp_exit_entry)
			if (READ_ONCE(task->__state) != TASK_DEAD)
				fn(task, data);
		rcu_read_unlock();
		cond_resched();
	}
}

/*
 * Calls @fn for all tasks that there are when this is called, and for some of
 * those that come and go meanwhile; with %NULL before the walk begins once more,
 * as it has lost its place. A new process or thread is added at the end
 * of its list, so that it is met unless its parent was met before it forked.
 *
 * Or unless the walk stands on a leader, the last one in the list, whose place
 * is taken by a thread that calls exec: what that forks next is not met. By then
 * it has returned to user space, and so has moved; whoever does something else
 * to all tasks publishes that for klp_copy_process(), which does it to the child.
 */
void klp_shim_each_task(void (*fn)(struct task_struct *task, void *data),
			void *data)
{
	unsigned int lost = 0;

	/* A walk that gives no turns cannot lose its place. */
	while (!klp_walk(fn, data, lost < KLP_LOST_WALKS)) {
		lost++;
		fn(NULL, data);
	}

	klp_walk_exiting(fn, data);
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
 * A task that is preempted in the trampoline or in the handler has the address
 * behind the patched instruction on its stack; at the instruction itself it is
 * at @ip. Many unwinders give up where a task was interrupted, but not where it
 * is preempted by the end of the handler (preempt_enable_notrace()): there are
 * only calls then.
 */
void __weak klp_arch_call_window(unsigned long ip, unsigned long *start,
				 unsigned long *size)
{
	*start = ip;
	*size = MCOUNT_INSN_SIZE + 1;
}

/* On most architectures, nothing that returns is anywhere but on the stack. */
bool __weak
klp_arch_walk_hidden(struct task_struct *task,
		     bool (*consume)(void *cookie, unsigned long addr),
		     void *cookie)
{
	return true;
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
	/* As there, who does not want to go on is answered with this error. */
	if (!ret && !klp_arch_walk_hidden(task, consume, cookie))
		ret = -EINVAL;
	put_task_stack(task);

	return ret;
}

void klp_shim_task_info(struct task_struct *task, struct klp_task_info *info)
{
	unsigned int flags = READ_ONCE(task->flags);

	info->tid = task->pid;
	info->tgid = task->tgid;
	info->idle = is_idle_task(task);
	info->cpu = info->idle || task_curr(task) ? task_cpu(task) : -1;
	info->kthread = flags & PF_KTHREAD;
	info->exiting = flags & PF_EXITING;
	get_task_comm(info->comm, task);
}

/*
 * Preemption is disabled during the call: what a stack check reads is protected
 * by that, see publish.rs.
 */
int klp_shim_hold_task(struct task_struct *task,
		       int (*fn)(struct task_struct *task, void *data),
		       void *data)
{
	int ret;

	if (task != current)
		return task_call_func(task, fn, data);

	preempt_disable();
	ret = fn(task, data);
	preempt_enable();

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
	bool lock;
	int ret;

	/*
	 * The task must not be moved in the middle of klp_copy_process(), which
	 * runs under tasklist_lock. There it is on its CPU, but for PREEMPT_RT.
	 */
	lock = IS_ENABLED(CONFIG_PREEMPT_RT) && task != current;
	if (lock)
		read_lock(&tasklist_lock);
	ret = klp_shim_hold_task(task, klp_check_and_switch_task, &old_name);
	if (lock)
		read_unlock(&tasklist_lock);

	switch (ret) {
	case 0:
		trace_klp_task_switched(task, KLP_VIA_STACK);
		break;
	case -EBUSY:
		pr_debug("%s: %s:%d is running\n",
			 __func__, task->comm, task->pid);
		trace_klp_task_blocked(task, KLP_TASK_RUNNING, NULL);
		break;
	case -EINVAL:
		pr_debug("%s: %s:%d has an unreliable stack\n",
			 __func__, task->comm, task->pid);
		trace_klp_task_blocked(task, KLP_TASK_UNRELIABLE, NULL);
		break;
	case -EADDRINUSE:
		pr_debug("%s: %s:%d is sleeping on function %s\n",
			 __func__, task->comm, task->pid, old_name);
		trace_klp_task_blocked(task, KLP_TASK_IN_FUNCTION, old_name);
		break;
	default:
		pr_debug("%s: Unknown error code (%d) when trying to switch %s:%d\n",
			 __func__, ret, task->comm, task->pid);
		break;
	}

	return ret;
}
