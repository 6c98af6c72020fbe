/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _LINUX_LIVEPATCH_EXIT_H_
#define _LINUX_LIVEPATCH_EXIT_H_

/*
 * A task that exits leaves the list of tasks long before it runs its last code,
 * and a transition must not lose sight of it. do_exit() calls these: the first
 * one under tasklist_lock, before the task can leave the list and after it has
 * waited for the tasks of a pid namespace that it is the init task of; the
 * second one, with preemption disabled, when nothing is left but to schedule for
 * the last time.
 */
#ifdef CONFIG_LIVEPATCH_RUST
void klp_exit_start(void);
void klp_exit_finish(void);
#else
static inline void klp_exit_start(void) {}
static inline void klp_exit_finish(void) {}
#endif

#endif /* _LINUX_LIVEPATCH_EXIT_H_ */
