// SPDX-License-Identifier: GPL-2.0
/*
 * arm64: what the livepatch core has to know about calls to the ftrace handler.
 */

#include <linux/cpu.h>
#include <linux/smp.h>
#include <asm/barrier.h>
#include "shim.h"

/*
 * ftrace patches text by aarch64_insn_patch_text_nosync(). That makes the new
 * instruction visible to what other CPUs fetch, but one that has fetched the
 * old instruction runs it until it synchronizes its context.
 */
static void klp_fetch_anew(void *info)
{
	isb();
}

void klp_arch_order_calls(void)
{
	/* Nobody is on the way to be online, and not yet in reach. */
	guard(cpus_read_lock)();
	on_each_cpu(klp_fetch_anew, NULL, true);
}
