// SPDX-License-Identifier: GPL-2.0
/* A livepatch whose transition can be held up. */
#define KLP_BENCH_HOLD
#include "klp_bench_patch.h"
