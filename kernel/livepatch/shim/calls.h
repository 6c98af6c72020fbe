/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How the ftrace handler finds a patched function. In C, because a call of a
 * function in Rust costs as much as the search itself.
 */
#ifndef _LIVEPATCH_SHIM_CALLS_H
#define _LIVEPATCH_SHIM_CALLS_H

#include <linux/compiler.h>
#include <linux/hash.h>
#include "shim.h"

/*
 * Finds the newest version of the function with the call site @ip, NULL if
 * there is none. The way through the table is that of model/ip_table.rs, which
 * fills it and leaves at least half of the slots free: a search ends.
 *
 * Preemption must be disabled from before the call until after the last use of
 * the result. Runs in the handler: no call that is not inlined.
 */
static __always_inline struct klp_version *
klp_find_call(const struct klp_calls *calls, unsigned long ip)
{
	const struct klp_call *slot;
	unsigned long at;

	if (unlikely(!calls))
		return NULL;

	at = hash_long(ip, calls->bits);
	slot = &calls->slots[at];
	while (unlikely(slot->ip != ip)) {
		if (!slot->ip)
			return NULL;
		at = (at + 1) & ((1UL << calls->bits) - 1);
		slot = &calls->slots[at];
	}

	/*
	 * An address dependency orders the reads of the version after this one.
	 * Pairs with PushThenRead in func_stacks.rs.
	 */
	return READ_ONCE(slot->top);
}

#endif /* _LIVEPATCH_SHIM_CALLS_H */
