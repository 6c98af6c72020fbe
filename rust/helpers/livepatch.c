// SPDX-License-Identifier: GPL-2.0

#include <linux/preempt.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>

#ifdef CONFIG_LIVEPATCH_RUST

__rust_helper int rust_helper_test_tsk_thread_flag(struct task_struct *tsk,
						   int flag)
{
	return test_tsk_thread_flag(tsk, flag);
}

__rust_helper void rust_helper_set_tsk_thread_flag(struct task_struct *tsk,
						   int flag)
{
	set_tsk_thread_flag(tsk, flag);
}

__rust_helper void rust_helper_clear_tsk_thread_flag(struct task_struct *tsk,
						     int flag)
{
	clear_tsk_thread_flag(tsk, flag);
}

__rust_helper int
rust_helper_test_and_clear_tsk_thread_flag(struct task_struct *tsk, int flag)
{
	return test_and_clear_tsk_thread_flag(tsk, flag);
}

__rust_helper void rust_helper_set_notify_signal(struct task_struct *task)
{
	set_notify_signal(task);
}

__rust_helper void rust_helper_preempt_disable_notrace(void)
{
	preempt_disable_notrace();
}

__rust_helper void rust_helper_preempt_enable_notrace(void)
{
	preempt_enable_notrace();
}
#endif /* CONFIG_LIVEPATCH_RUST */
