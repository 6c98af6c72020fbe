// SPDX-License-Identifier: GPL-2.0
/*
 * s390: what the livepatch core has to know about calls to the ftrace handler.
 */

#include "shim.h"

/*
 * Nothing to do. When ftrace has patched text it has all CPUs serialize, which
 * drops what they have fetched (text_poke_sync_lock()), and a CPU that has seen
 * one write sees those that came before.
 */
void klp_arch_order_calls(void)
{
}
