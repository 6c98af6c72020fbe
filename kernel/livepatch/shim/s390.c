// SPDX-License-Identifier: GPL-2.0
/*
 * s390: what the livepatch core has to know about calls to the ftrace handler.
 */

#include <linux/ftrace.h>
#include "shim.h"

/*
 * A task that is interrupted in the call has its registers on the stack, where
 * arch_stack_walk_reliable() gives up. But one that is preempted by the end of
 * the handler (preempt_enable_notrace()) has only calls there, and among their
 * return addresses the one behind the patched instruction.
 */
void klp_arch_call_window(unsigned long ip, unsigned long *start,
			  unsigned long *size)
{
	*start = ip;
	*size = MCOUNT_INSN_SIZE + 1;
}

/*
 * Nothing to do. When ftrace has patched text it has all CPUs serialize, which
 * drops what they have fetched (text_poke_sync_lock()), and a CPU that has seen
 * one write sees those that came before.
 */
void klp_arch_order_calls(void)
{
}
