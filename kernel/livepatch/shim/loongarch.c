// SPDX-License-Identifier: GPL-2.0
/*
 * loongarch: what the livepatch core has to know about calls to the ftrace
 * handler.
 */

#include <linux/cacheflush.h>
#include <linux/cpu.h>
#include <linux/smp.h>
#include <asm/inst.h>
#include "shim.h"

/*
 * A task that is preempted in the call is in ftrace's trampoline or has been
 * called from there, and arch_stack_walk_reliable() gives up there as long as
 * nothing describes the trampoline's frame (UNWIND_HINT_UNDEFINED). If that was
 * otherwise, it would have an address of the two instructions on its stack.
 */
void klp_arch_call_window(unsigned long ip, unsigned long *start,
			  unsigned long *size)
{
	*start = ip;
	*size = 2 * LOONGARCH_INSN_SIZE + 1;
}

static void klp_fetch_anew(void *info)
{
	local_flush_icache_all();
}

/*
 * ftrace has only the CPU that patches text drop what it has fetched. Caches
 * are coherent, so this is all that the others need.
 */
void klp_arch_order_calls(void)
{
	/* Nobody is on the way to be online, and not yet in reach. */
	guard(cpus_read_lock)();
	on_each_cpu(klp_fetch_anew, NULL, true);
}
