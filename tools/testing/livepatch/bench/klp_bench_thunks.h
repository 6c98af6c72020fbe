/* SPDX-License-Identifier: GPL-2.0 */
/* Each goes on where klp_bench_many.h says. */
#include <linux/linkage.h>
#include <asm/nospec-branch.h>
#include "klp_bench_size.h"

.macro klp_bench_thunk
	.balign KLP_BENCH_THUNK_SIZE
	.type klp_bench_thunk_\@, @function
klp_bench_thunk_\@:
	ANNOTATE_RETPOLINE_SAFE
	jmp	*(klp_bench_thunk_targets + klp_bench_index * 8)(%rip)
	.size klp_bench_thunk_\@, . - klp_bench_thunk_\@
	.set klp_bench_index, klp_bench_index + 1
.endm

	.text
	.balign KLP_BENCH_THUNK_SIZE
	.globl klp_bench_thunks
klp_bench_thunks:
	.set klp_bench_index, 0
	.rept KLP_BENCH_FUNCTIONS
	klp_bench_thunk
	.endr

	.section .note.GNU-stack, "", @progbits
