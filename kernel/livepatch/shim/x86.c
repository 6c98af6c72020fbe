// SPDX-License-Identifier: GPL-2.0
/*
 * x86: what the livepatch core has to know about calls to the ftrace handler.
 */

#include "shim.h"

/*
 * Nothing to do. Text is patched with an interrupt that makes all CPUs fetch it
 * anew, and a CPU that has seen one write sees those that came before: it can
 * get to the code of a module only by something that was written afterwards.
 */
void klp_arch_order_calls(void)
{
}
