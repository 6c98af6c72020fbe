// SPDX-License-Identifier: GPL-2.0
/*
 * x86: what the livepatch core has to know about calls to the ftrace handler.
 */

#include <linux/ftrace.h>
#include "shim.h"

/*
 * A task that is preempted in the trampoline or in the handler has the address
 * behind the patched call instruction on its stack. The instruction pointer of
 * a task preempted at the call itself is @ip.
 */
void klp_arch_call_window(unsigned long ip, unsigned long *start,
			  unsigned long *size)
{
	*start = ip;
	*size = MCOUNT_INSN_SIZE + 1;
}

/*
 * Nothing to do. Text is patched with an interrupt that makes all CPUs fetch it
 * anew, and a CPU that has seen one write sees those that came before: it can
 * get to the code of a module only by something that was written afterwards.
 */
void klp_arch_order_calls(void)
{
}
