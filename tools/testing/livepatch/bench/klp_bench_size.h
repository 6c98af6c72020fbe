/* SPDX-License-Identifier: GPL-2.0 */
/* How many functions klp_bench_target has, and klp_bench_many can patch. */
#ifndef _KLP_BENCH_SIZE_H
#define _KLP_BENCH_SIZE_H

#define KLP_BENCH_FUNCTIONS	10000
#define KLP_BENCH_THUNK_SIZE	16

#endif /* _KLP_BENCH_SIZE_H */
