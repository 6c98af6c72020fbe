// SPDX-License-Identifier: GPL-2.0
/*
 * Lets allocations fail. current->fail_nth does so, too, but what failslab
 * fails besides (it leaves allocations alone that may sleep) and how much it
 * prints can only be changed in debugfs.
 */

#include <linux/ftrace.h>
#include <linux/gfp.h>
#include <linux/preempt.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/fault-inject.h>
#include "tests.h"

static struct task_struct *klp_test_nomem_task;
/* Only used by that task. */
static unsigned int klp_test_nomem_nth, klp_test_nomem_count, klp_test_nomem_met;

/* Called instead of should_failslab(). */
static notrace int klp_test_no_slab(struct kmem_cache *s, gfp_t gfpflags)
{
	return gfpflags & __GFP_NOFAIL ? 0 : -ENOMEM;
}

/*
 * Called instead of kvrealloc(), which is where the vectors of the core come
 * from: it gets along without the slab allocator.
 */
static notrace void *klp_test_no_kvrealloc(const void *p, size_t size,
					   unsigned long align, gfp_t flags,
					   int nid)
{
	return NULL;
}

static unsigned long klp_test_slab_ip, klp_test_kvrealloc_ip;

static void notrace klp_test_nomem_handler(unsigned long ip,
					   unsigned long parent_ip,
					   struct ftrace_ops *ops,
					   struct ftrace_regs *fregs)
{
	if (READ_ONCE(klp_test_nomem_task) != current || !in_task())
		return;

	/* Before the first one, the difference is a large number. */
	if (++klp_test_nomem_met - klp_test_nomem_nth >= klp_test_nomem_count)
		return;

	ftrace_regs_set_instruction_pointer(fregs, ip == klp_test_slab_ip ?
					    (unsigned long)klp_test_no_slab :
					    (unsigned long)klp_test_no_kvrealloc);
}

static struct ftrace_ops klp_test_nomem_ops = {
	.func	= klp_test_nomem_handler,
	.flags	= FTRACE_OPS_FL_IPMODIFY
#ifndef CONFIG_HAVE_DYNAMIC_FTRACE_WITH_ARGS
		| FTRACE_OPS_FL_SAVE_REGS
#endif
};

int klp_test_nomem_start(void)
{
	unsigned long ips[2];

	klp_test_slab_ip = ftrace_location((unsigned long)should_failslab);
	klp_test_kvrealloc_ip =
		ftrace_location((unsigned long)kvrealloc_node_align_noprof);
	if (!klp_test_slab_ip || !klp_test_kvrealloc_ip)
		return -ENOENT;

	ips[0] = klp_test_slab_ip;
	ips[1] = klp_test_kvrealloc_ip;
	return ftrace_set_filter_ips(&klp_test_nomem_ops, ips, 2, 0, 1) ?:
	       register_ftrace_function(&klp_test_nomem_ops);
}

void klp_test_nomem_stop(void)
{
	unregister_ftrace_function(&klp_test_nomem_ops);
}

void klp_test_nomem_arm(unsigned int nth, unsigned int count)
{
	klp_test_nomem_met = 0;
	klp_test_nomem_nth = nth;
	klp_test_nomem_count = count;
	WRITE_ONCE(klp_test_nomem_task, current);
}

unsigned int klp_test_nomem_disarm(void)
{
	WRITE_ONCE(klp_test_nomem_task, NULL);
	return klp_test_nomem_met;
}
