// SPDX-License-Identifier: GPL-2.0
/*
 * arm64: what the livepatch core has to know about calls to the ftrace handler.
 */

#include <linux/smp.h>
#include <asm/barrier.h>
#include "shim.h"

/*
 * No address. A task that is preempted in the call has an exception on its
 * stack, and arch_stack_walk_reliable() gives up there.
 */
void klp_arch_call_window(unsigned long ip, unsigned long *start,
			  unsigned long *size)
{
	*start = ip;
	*size = 0;
}

/*
 * ftrace patches text by aarch64_insn_patch_text_nosync(). That makes the new
 * instruction visible to what other CPUs fetch, but one that has fetched the
 * old instruction runs it until it synchronizes its context.
 */
static void klp_fetch_anew(void *info)
{
	isb();
}

void klp_arch_order_calls(void)
{
	on_each_cpu(klp_fetch_anew, NULL, true);
}
