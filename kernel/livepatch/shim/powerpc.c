// SPDX-License-Identifier: GPL-2.0
/*
 * powerpc: what the livepatch core has to know about calls to the ftrace
 * handler.
 */

#include <linux/sched/task_stack.h>
#include <linux/smp.h>
#include <asm/synch.h>
#include "shim.h"

/*
 * No address. A task that is preempted in the call has the registers of the
 * interrupt on its stack, and arch_stack_walk_reliable() gives up there.
 */
void klp_arch_call_window(unsigned long ip, unsigned long *start,
			  unsigned long *size)
{
	*start = ip;
	*size = 0;
}

/*
 * ftrace patches text by patch_instruction(). That makes the new instruction
 * visible to what other CPUs fetch, but one that has fetched the old one runs
 * it until it synchronizes its context.
 */
static void klp_fetch_anew(void *info)
{
	isync();
}

void klp_arch_order_calls(void)
{
	on_each_cpu(klp_fetch_anew, NULL, true);
}

/*
 * Who calls a replacement is not on the stack: the function's return address is
 * that of livepatch_handler, which has put the real one on the livepatch stack.
 * That is at the other end of the task's stack and grows towards it, by the TOC
 * pointer, the return address and a mark for each call (ftrace_entry.S).
 */
bool klp_arch_walk_hidden(struct task_struct *task,
			  bool (*consume)(void *cookie, unsigned long addr),
			  void *cookie)
{
	const unsigned long *end = task_thread_info(task)->livepatch_sp;
	const unsigned long *call;

	/* The end of the stack has a mark of its own. */
	for (call = end_of_stack(task) + 1; call < end; call += 3) {
		if (!consume(cookie, call[1]))
			return false;
	}
	return true;
}
