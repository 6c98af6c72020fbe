// SPDX-License-Identifier: GPL-2.0
/*
 * The tracepoints that Rust reaches. Its macro for them needs static branches
 * in Rust, which not all architectures have, and none of these is hot.
 */

#include <linux/sched.h>
#include <trace/events/livepatch.h>
#include "shim.h"

void klp_shim_trace_start(const char *patch, bool patched)
{
	trace_klp_transition_start(patch, patched);
}

void klp_shim_trace_force(const char *patch, bool patched)
{
	trace_klp_transition_force(patch, patched);
}

void klp_shim_trace_complete(const char *patch, bool patched)
{
	trace_klp_transition_complete(patch, patched);
}

void klp_shim_trace_object(const char *patch, const char *object, bool coming,
			   int err)
{
	trace_klp_object(patch, object, coming, err);
}

void klp_shim_trace_switched(struct task_struct *task)
{
	if (!is_idle_task(task))
		trace_klp_task_switched(task, KLP_VIA_USER);
	else if (task == current)
		trace_klp_task_switched(task, KLP_VIA_IDLE);
	else
		trace_klp_task_switched(task, KLP_VIA_OFFLINE);
}
