// SPDX-License-Identifier: GPL-2.0
/*
 * powerpc: what the livepatch core has to know about calls to the ftrace
 * handler.
 */

#include <linux/cpu.h>
#include <linux/ftrace.h>
#include <linux/rethook.h>
#include <linux/sched/task_stack.h>
#include <linux/smp.h>
#include <linux/text-patching.h>
#include <asm/synch.h>
#include "shim.h"

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
	/* Nobody is on the way to be online, and not yet in reach. */
	guard(cpus_read_lock)();
	on_each_cpu(klp_fetch_anew, NULL, true);
}

/* Has a tracer put itself in the place of the caller? */
static bool klp_caller_is_traced(unsigned long addr)
{
#ifdef CONFIG_FUNCTION_GRAPH_TRACER
	if (addr == ppc_function_entry(return_to_handler))
		return true;
#endif
#ifdef CONFIG_RETHOOK
	if (addr == (unsigned long)arch_rethook_trampoline)
		return true;
#endif
	return false;
}

/*
 * Who calls a replacement is not on the stack: the function's return address is
 * that of livepatch_handler, which has put the real one on the livepatch stack.
 * That is at the other end of the task's stack and grows towards it, by the TOC
 * pointer, the return address and a mark for each call (ftrace_entry.S). One
 * whose caller is hidden by a tracer once more is not to be judged.
 */
__no_sanitize_address
bool klp_arch_walk_hidden(struct task_struct *task,
			  bool (*consume)(void *cookie, unsigned long addr),
			  void *cookie)
{
	const unsigned long *end = READ_ONCE(task_thread_info(task)->livepatch_sp);
	const unsigned long *call;

	/* The end of the stack has a mark of its own. */
	for (call = end_of_stack(task) + 1; call < end; call += 3) {
		if (klp_caller_is_traced(call[1]) || !consume(cookie, call[1]))
			return false;
	}
	return true;
}
