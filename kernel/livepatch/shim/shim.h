/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The whole interface between the Rust livepatch core and its C parts.
 *
 * C is used only for what Rust cannot do: the notrace shell of the ftrace
 * handler, macros that open loops or define static objects, dynamic debug
 * descriptors, and symbol exports. Decisions are taken in Rust.
 *
 * bindgen reads this header (rust/bindings/bindings_helper.h).
 */
#ifndef _LIVEPATCH_SHIM_H
#define _LIVEPATCH_SHIM_H

#include <linux/livepatch.h>
#include <linux/moduleloader.h>
#include <linux/sched.h>

struct ftrace_ops;

/* sizeof() in a macro is lost on bindgen, an enumerator is not. */
enum { KLP_MODULE_NAME_LEN = MODULE_NAME_LEN };

/**
 * struct klp_version - one version of a patched function
 * @below:	version that was current before, NULL for the original function
 * @new_func:	address of the replacement, 0 to run the original function
 * @transition:	the patch of this version is being applied or reverted
 *
 * Written under klp_mutex, read by the ftrace handler without it.
 */
struct klp_version {
	struct klp_version *below;
	unsigned long new_func;
	bool transition;
};

/**
 * struct klp_call - a patched function, as the handler finds it
 * @ip:		its call site, 0 in a slot that is free
 * @top:	its newest version, NULL for the original function
 *
 * @top is written under klp_mutex.
 */
struct klp_call {
	unsigned long ip;
	struct klp_version *top;
};

/**
 * struct klp_calls - all patched functions
 * @slots:	a hash table, see calls.h
 * @shift:	how many bits of a hash are not those of a slot's number
 *
 * Replaced as a whole, under klp_mutex.
 */
struct klp_calls {
	const struct klp_call *slots;
	unsigned int shift;
};

struct klp_shadow_key {
	void *obj;
	unsigned long id;
};

/**
 * struct klp_shadow - a shadow variable
 * @node:	in the hash table
 * @rcu:	for readers who found it before it was freed
 * @key:	what it belongs to and its number
 * @all:	in the list of all shadow variables
 * @data:	what the user of the variable gets
 */
struct klp_shadow {
	struct hlist_node node;
	struct rcu_head rcu;
	struct klp_shadow_key key;
	struct list_head all;
	char data[];
};

/**
 * struct klp_task_info - what administrators know a task by
 * @tid:	its number, that of a thread
 * @tgid:	that of its process
 * @cpu:	the CPU that it runs on, or -1; of an idle task, its own
 * @idle:	is it an idle task?
 * @kthread:	does it belong to the kernel?
 * @exiting:	is it on its way to its end?
 * @comm:	its name, which need not be text
 */
struct klp_task_info {
	pid_t tid;
	pid_t tgid;
	int cpu;
	bool idle;
	bool kthread;
	bool exiting;
	char comm[TASK_COMM_LEN];
};

/*
 * shadow.c: insert, remove and next are called under the lock of shadow.rs, all
 * of them in any context but NMI; find even there.
 */
void klp_shim_shadow_init(void);
struct klp_shadow *klp_shim_shadow_find(const struct klp_shadow_key *key);
void klp_shim_shadow_insert(struct klp_shadow *shadow);
void klp_shim_shadow_remove(struct klp_shadow *shadow);
struct klp_shadow *klp_shim_shadow_next(struct klp_shadow *shadow);
struct klp_shadow *klp_shim_shadow_alloc(size_t size, gfp_t gfp);
void klp_shim_shadow_free(struct klp_shadow *shadow);
void klp_shim_shadow_free_rcu(struct klp_shadow *shadow);
void klp_shim_shadow_duplicate(const struct klp_shadow_key *key);
void klp_shim_shadow_failed(const struct klp_shadow_key *key, int err);

/* handler.c: what leads to the handler */
extern struct ftrace_ops klp_ftrace_ops;
struct ftrace_ops *klp_shim_ops_alloc(void);
bool klp_shim_has_direct_caller(unsigned long ip);
bool klp_shim_can_jump(unsigned long ip, unsigned long target);
int klp_shim_set_jumps(struct ftrace_ops *ops, const unsigned long *ips,
		       const unsigned long *targets, unsigned int count);
int klp_shim_clear_jumps(struct ftrace_ops *ops, const unsigned long *ips,
			 unsigned int count);

/* handler.rs: called by the handler, any context, preemption off, notrace */
struct klp_version *klp_handler_choose(struct klp_version *top, int patch_state);

/* tasks.c, <arch>.c: addresses that say "in a call from @ip to the handler" */
void klp_arch_call_window(unsigned long ip, unsigned long *start,
			  unsigned long *size);
/* <arch>.c: a barrier between what was done before and calls on all CPUs */
void klp_arch_order_calls(void);
/*
 * <arch>.c: calls @consume with the return addresses that are not on the stack
 * of @task although functions will return there, until it returns false.
 * Returns what it returned last; true if there are none.
 */
bool klp_arch_walk_hidden(struct task_struct *task,
			  bool (*consume)(void *cookie, unsigned long addr),
			  void *cookie);

/* tasks.c: walking the tasks. Under the RCU read lock, @fn must not sleep. */
void klp_shim_synchronize_forks(void);
void klp_shim_each_task(void (*fn)(struct task_struct *task, void *data),
			void *data);
void klp_shim_each_idle_task(void (*fn)(struct task_struct *task, bool online,
					unsigned int cpu, void *data),
			     void *data);
/* Calls @fn while @task cannot run, or when it is current or on its CPU. */
int klp_shim_hold_task(struct task_struct *task,
		       int (*fn)(struct task_struct *task, void *data),
		       void *data);
void klp_shim_task_info(struct task_struct *task, struct klp_task_info *info);
int klp_shim_walk_stack(struct task_struct *task,
			bool (*consume)(void *cookie, unsigned long addr),
			void *cookie);
int klp_try_switch_task(struct task_struct *task);
/* transition/hooks.rs: called back by klp_try_switch_task() on a pinned task */
int klp_check_and_switch_task(struct task_struct *task, void *old_name);

/* generic.c */
extern struct list_head klp_patches;
extern struct klp_patch *klp_transition_patch;
extern bool klp_jump;
void klp_shim_sched_hook(bool enable);
void klp_shim_retry_in(unsigned int msecs);
void klp_shim_reap(void);
void klp_shim_collect(void);
struct module *klp_shim_find_module(const char *name);
bool klp_shim_is_init_text(const struct module *mod, unsigned long addr);
bool klp_shim_module_memory(const struct module *mod, unsigned long addr,
			    unsigned long *start, unsigned long *end);
bool klp_shim_module_get(struct module *mod);
void klp_shim_module_put(struct module *mod);
void klp_shim_synchronize(void);
void klp_shim_synchronize_tasks(void);

/* abi.rs: called by generic.c. The first one runs before any module loads. */
void klp_rust_init_early(void);
int klp_rust_init(void);
void klp_rust_retry(void);
void klp_rust_reap(void);
void klp_rust_collect(void);
void klp_rust_jump(void);

/*
 * report.c: messages that administrators switch on by dynamic debug, which can
 * select them by the name of the function. Hence these names.
 */
void klp_init_transition(const char *patch, bool patching);
void klp_complete_transition(const char *patch, bool patching);
void klp_cancel_transition(const char *patch);
void klp_reverse_transition(const char *patch, bool was_patching);

/* trace.c: tracepoints, a nop each while nobody looks */
void klp_shim_trace_start(const char *patch, bool patched);
void klp_shim_trace_force(const char *patch, bool patched);
void klp_shim_trace_complete(const char *patch, bool patched);
void klp_shim_trace_object(const char *patch, const char *object, bool coming,
			   int err);
void klp_shim_trace_switched(struct task_struct *task);

#endif /* _LIVEPATCH_SHIM_H */
