/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One version of a function: the value that it returns says which one. The
 * compiler must not know that, or it would not call the function for it.
 */
#ifndef _LIVEPATCH_TESTS_TARGETS_H
#define _LIVEPATCH_TESTS_TARGETS_H

#include <linux/compiler.h>

#define KLP_TEST_VERSION(name, version)				\
noinline int name(void)						\
{								\
	int ret = version;					\
								\
	OPTIMIZER_HIDE_VAR(ret);				\
	return ret;						\
}

#endif /* _LIVEPATCH_TESTS_TARGETS_H */
