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

	/* hash_long(), with nothing left to be computed. */
	at = ip * GOLDEN_RATIO_PRIME >> calls->shift;
	slot = calls->slots + at;

	/*
	 * An address dependency orders the reads of the version after that of
	 * the top. Pairs with PushThenRead in func_stacks.rs.
	 */
	if (likely(slot->ip == ip))
		return READ_ONCE(slot->top);

	while (slot->ip) {
		at = (at + 1) & (~0UL >> calls->shift);
		slot = calls->slots + at;
		if (slot->ip == ip)
			return READ_ONCE(slot->top);
	}
	return NULL;
}

#endif /* _LIVEPATCH_SHIM_CALLS_H */
