// SPDX-License-Identifier: GPL-2.0
/* The same in place of all others: it has a nop for what they patch. */
#define KLP_BENCH_REPLACE
#include "klp_bench_patch.h"
