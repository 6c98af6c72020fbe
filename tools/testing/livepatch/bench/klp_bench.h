/* SPDX-License-Identifier: GPL-2.0 */
/* The functions that are patched, and their replacements. */
#ifndef _KLP_BENCH_H
#define _KLP_BENCH_H

#include <linux/compiler.h>

/* The compiler must know neither what is returned nor that nothing is done, or it would not call this. */
#define KLP_BENCH_VERSION(name, version)			\
noinline int name(void);					\
noinline int name(void)						\
{								\
	int ret = version;					\
								\
	OPTIMIZER_HIDE_VAR(ret);				\
	barrier();						\
	return ret;						\
}

int klp_bench_sleep(void);

#endif /* _KLP_BENCH_H */
