// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The function of rust_livepatch_callbacks_busymod that can be patched: C, because
 * the function tracer does not know functions in Rust.
 */

#include <linux/compiler.h>
#include <linux/workqueue.h>

void rust_busymod_work_func(void);
void busymod_work_func(struct work_struct *work);

void busymod_work_func(struct work_struct *work)
{
	rust_busymod_work_func();
	/*
	 * Not a tail call: while the Rust function sleeps, this one must be on
	 * the stack, where a livepatch looks for it.
	 */
	barrier();
}
