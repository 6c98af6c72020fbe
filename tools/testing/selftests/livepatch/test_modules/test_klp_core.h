/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the test-core-* target module and the livepatches for it agree on.
 *
 * The functions to be patched get everything they need through their
 * arguments: a replacement then needs no symbol of the target module, and
 * the target module can be removed while a livepatch for it is loaded.
 */
#ifndef _TEST_KLP_CORE_H
#define _TEST_KLP_CORE_H

#include <linux/errno.h>
#include <linux/livepatch.h>

#define CORE_TARGET		"test_klp_core_target"

/*
 * core_target_pair() and the two functions that it calls must be switched
 * together: all three numbers are the version of the code which wrote them.
 */
struct core_pair {
	int (*get_a)(void);
	void (*pause)(void);
	int (*get_b)(void);
	int self;
	int a;
	int b;
};

/*
 * The way down to where core_target_deep() sleeps. Each function on it calls
 * next(), which knows what comes next.
 */
struct core_deep {
	void (*next)(struct core_deep *deep);
	int (*leaf)(void);
	unsigned int below;
	unsigned int levels;
	unsigned int above;
	/* sums of what the levels of core_target_deep() say, and leaf() to them */
	int answer;
	int leaf_answer;
};

/*
 * For modules that register their livepatch instead of enabling it if a
 * parameter says so: the Rust core alone can do that.
 */
#ifdef CONFIG_LIVEPATCH_RUST
#define core_register_patch	klp_register_patch
#define core_unregister_patch	klp_unregister_patch
#else
static inline int core_register_patch(struct klp_patch *patch)
{
	return -EOPNOTSUPP;
}

static inline int core_unregister_patch(struct klp_patch *patch)
{
	return -EOPNOTSUPP;
}
#endif /* CONFIG_LIVEPATCH_RUST */

#endif /* _TEST_KLP_CORE_H */
