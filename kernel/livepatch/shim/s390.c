// SPDX-License-Identifier: GPL-2.0
/*
 * s390: what the livepatch core has to know about calls to the ftrace handler.
 */

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
 * Nothing to do. When ftrace has patched text it has all CPUs serialize, which
 * drops what they have fetched (text_poke_sync_lock()), and a CPU that has seen
 * one write sees those that came before.
 */
void klp_arch_order_calls(void)
{
}
