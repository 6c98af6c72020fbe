/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a transition does to tasks, and what modules that come and go do to
 * patches. Names and fields are the same for every livepatch core.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM livepatch

#if !defined(_TRACE_LIVEPATCH_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_LIVEPATCH_H

#include <linux/sched.h>
#include <linux/tracepoint.h>

/* This part is read again for each use of the macros below. */
#ifndef _TRACE_LIVEPATCH_ENUMS
#define _TRACE_LIVEPATCH_ENUMS

/* How a task was moved: where it was, or who moved it. */
enum klp_trace_via {
	KLP_VIA_USER,	/* it was about to leave the kernel */
	KLP_VIA_IDLE,	/* it is an idle task, in its loop */
	KLP_VIA_OFFLINE, /* it is the idle task of a CPU that is offline */
	KLP_VIA_STACK,	/* it slept or was about to, and its stack was free */
};

/* Why a task was not moved. */
enum klp_trace_reason {
	KLP_TASK_RUNNING,	/* it runs on a CPU */
	KLP_TASK_UNRELIABLE,	/* nobody vouches for its stack */
	KLP_TASK_IN_FUNCTION,	/* it is in a function that is in the way */
};

#endif /* _TRACE_LIVEPATCH_ENUMS */

TRACE_DEFINE_ENUM(KLP_VIA_USER);
TRACE_DEFINE_ENUM(KLP_VIA_IDLE);
TRACE_DEFINE_ENUM(KLP_VIA_OFFLINE);
TRACE_DEFINE_ENUM(KLP_VIA_STACK);
TRACE_DEFINE_ENUM(KLP_TASK_RUNNING);
TRACE_DEFINE_ENUM(KLP_TASK_UNRELIABLE);
TRACE_DEFINE_ENUM(KLP_TASK_IN_FUNCTION);

#define klp_show_target(patched) ((patched) ? "patched" : "unpatched")

#define klp_show_via(via)				\
	__print_symbolic(via,				\
			 { KLP_VIA_USER, "user" },	\
			 { KLP_VIA_IDLE, "idle" },	\
			 { KLP_VIA_OFFLINE, "offline" },	\
			 { KLP_VIA_STACK, "stack" })

#define klp_show_reason(reason)						\
	__print_symbolic(reason,					\
			 { KLP_TASK_RUNNING, "running" },		\
			 { KLP_TASK_UNRELIABLE, "unreliable" },		\
			 { KLP_TASK_IN_FUNCTION, "in_function" })

DECLARE_EVENT_CLASS(klp_transition,
	TP_PROTO(const char *patch, bool patched),
	TP_ARGS(patch, patched),
	TP_STRUCT__entry(
		__string(patch, patch)
		__field(bool, patched)
	),
	TP_fast_assign(
		__assign_str(patch);
		__entry->patched = patched;
	),
	TP_printk("patch=%s target=%s", __get_str(patch),
		  klp_show_target(__entry->patched))
);

/**
 * klp_transition_start - tasks are about to be moved
 * @patch:	name of the patch's module
 * @patched:	to the patch, or away from it
 *
 * Comes again, with the other direction, when a transition is reversed.
 */
DEFINE_EVENT(klp_transition, klp_transition_start,
	TP_PROTO(const char *patch, bool patched),
	TP_ARGS(patch, patched)
);

/**
 * klp_transition_force - the tasks that are left are about to be moved at once
 * @patch:	name of the patch's module
 * @patched:	to the patch, or away from it
 *
 * There is no klp_task_switched for them.
 */
DEFINE_EVENT(klp_transition, klp_transition_force,
	TP_PROTO(const char *patch, bool patched),
	TP_ARGS(patch, patched)
);

/**
 * klp_transition_complete - all tasks have moved, all callbacks have run
 * @patch:	name of the patch's module
 * @patched:	to the patch, or away from it
 *
 * Comes without a start if the patch could not be applied.
 */
DEFINE_EVENT(klp_transition, klp_transition_complete,
	TP_PROTO(const char *patch, bool patched),
	TP_ARGS(patch, patched)
);

/**
 * klp_task_switched - a task runs the other versions from now on
 * @task:	the task
 * @via:	how it came to that
 */
TRACE_EVENT(klp_task_switched,
	TP_PROTO(struct task_struct *task, enum klp_trace_via via),
	TP_ARGS(task, via),
	TP_STRUCT__entry(
		__array(char, comm, TASK_COMM_LEN)
		__field(pid_t, pid)
		__field(int, via)
	),
	TP_fast_assign(
		memcpy(__entry->comm, task->comm, TASK_COMM_LEN);
		__entry->pid = task->pid;
		__entry->via = via;
	),
	TP_printk("comm=%s pid=%d via=%s", __entry->comm, __entry->pid,
		  klp_show_via(__entry->via))
);

/**
 * klp_task_blocked - a task could not be moved this time
 * @task:	the task
 * @reason:	why not
 * @func:	name of the patched function that is in the way, or %NULL
 *
 * Once for each try. The pauses between the tries of a transition are those of
 * the core; a kthread that can be frozen tries by itself each time it sleeps.
 */
TRACE_EVENT(klp_task_blocked,
	TP_PROTO(struct task_struct *task, enum klp_trace_reason reason,
		 const char *func),
	TP_ARGS(task, reason, func),
	TP_STRUCT__entry(
		__array(char, comm, TASK_COMM_LEN)
		__field(pid_t, pid)
		__field(int, reason)
		__string(func, func)
	),
	TP_fast_assign(
		memcpy(__entry->comm, task->comm, TASK_COMM_LEN);
		__entry->pid = task->pid;
		__entry->reason = reason;
		__assign_str(func);
	),
	TP_printk("comm=%s pid=%d reason=%s func=%s", __entry->comm,
		  __entry->pid, klp_show_reason(__entry->reason),
		  __get_str(func))
);

/**
 * klp_object - a module that a patch changes has come, or goes
 * @patch:	name of the patch's module
 * @object:	name of the other module
 * @coming:	has it come?
 * @err:	0, or why it was refused
 */
TRACE_EVENT(klp_object,
	TP_PROTO(const char *patch, const char *object, bool coming, int err),
	TP_ARGS(patch, object, coming, err),
	TP_STRUCT__entry(
		__string(patch, patch)
		__string(object, object)
		__field(bool, coming)
		__field(int, err)
	),
	TP_fast_assign(
		__assign_str(patch);
		__assign_str(object);
		__entry->coming = coming;
		__entry->err = err;
	),
	TP_printk("patch=%s object=%s op=%s err=%d", __get_str(patch),
		  __get_str(object), __entry->coming ? "coming" : "going",
		  __entry->err)
);

#endif /* _TRACE_LIVEPATCH_H */

/* This part must be outside protection */
#include <trace/define_trace.h>
