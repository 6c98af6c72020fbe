// SPDX-License-Identifier: GPL-2.0
/*
 * Static kernel objects, module references, initcalls and symbol exports.
 */

#include <linux/cpu.h>
#include <linux/init.h>
#include <linux/jiffies.h>
#include <linux/jump_label.h>
#include <linux/list.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/moduleloader.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/workqueue.h>
#include "shim.h"

/* Read by schedule() through klp_sched_try_switch(). */
DEFINE_STATIC_KEY_FALSE(klp_sched_try_switch_key);

void klp_shim_sched_hook(bool enable)
{
	if (enable)
		static_branch_enable(&klp_sched_try_switch_key);
	else
		static_branch_disable(&klp_sched_try_switch_key);
}

/*
 * Debuggers know these names from the core in C: the enabled patches, and the
 * one that is in transition. Written under klp_mutex, and never read.
 */
LIST_HEAD(klp_patches);
struct klp_patch *klp_transition_patch;

static void klp_transition_work_fn(struct work_struct *work)
{
	klp_rust_retry();
}

static DECLARE_DELAYED_WORK(klp_transition_work, klp_transition_work_fn);

/*
 * A pending retry is moved, which the Rust workqueue abstraction cannot do: a
 * reversed or forced transition must not wait for the pause of the old one.
 */
void klp_shim_retry_in(unsigned int msecs)
{
	unsigned long delay = msecs_to_jiffies(msecs);

	/* A pause of seconds need not wake up an idle CPU on its own. */
	if (delay >= HZ)
		delay = round_jiffies_relative(delay);

	mod_delayed_work(system_percpu_wq, &klp_transition_work, delay);
}

/*
 * Finds a module that klp_module_coming() has seen and klp_module_going() has
 * not. No reference is taken: a patch does not keep its target loaded, and
 * klp_module_going() needs klp_mutex, which the caller holds.
 */
struct module *klp_shim_find_module(const char *name)
{
	struct module *mod;

	guard(rcu)();
	mod = find_module(name);

	return mod && mod->klp_alive ? mod : NULL;
}

/* false when the module has freed its init section */
bool klp_shim_is_init_text(const struct module *mod, unsigned long addr)
{
	return within_module_mem_type(addr, mod, MOD_INIT_TEXT);
}

/* The part of a module's memory that has @addr in it, which bounds its symbols. */
bool klp_shim_module_memory(const struct module *mod, unsigned long addr,
			    unsigned long *start, unsigned long *end)
{
	for_each_mod_mem_type(type) {
		*start = (unsigned long)mod->mem[type].base;
		*end = *start + mod->mem[type].size;
		if (*start <= addr && addr < *end)
			return true;
	}
	return false;
}

bool klp_shim_module_get(struct module *mod)
{
	return try_module_get(mod);
}

void klp_shim_module_put(struct module *mod)
{
	module_put(mod);
}

static void klp_reap_work_fn(struct work_struct *work)
{
	klp_rust_reap();
}

static DECLARE_WORK(klp_reap_work, klp_reap_work_fn);

/*
 * The end of a patch that may have been disabled by a write to sysfs: the one
 * who waits for that write cannot be the writer.
 */
void klp_shim_reap(void)
{
	queue_work(system_long_wq, &klp_reap_work);
}

static void klp_collect_work_fn(struct work_struct *work)
{
	klp_rust_collect();
}

static DECLARE_WORK(klp_collect_work, klp_collect_work_fn);

/* What was replaced is freed later: who replaces it waits for nobody. */
void klp_shim_collect(void)
{
	queue_work(system_long_wq, &klp_collect_work);
}

static void klp_sync(struct work_struct *work)
{
}

static DEFINE_PER_CPU(struct work_struct, klp_sync_work);

/* There is one work item per CPU, for one caller at a time. */
static DEFINE_MUTEX(klp_sync_mutex);

/*
 * Waits until every CPU has passed through the scheduler: schedule_on_each_cpu()
 * without its only way to fail, the allocation of the work items.
 */
void klp_shim_synchronize(void)
{
	unsigned int cpu;

	guard(mutex)(&klp_sync_mutex);
	cpus_read_lock();
	for_each_online_cpu(cpu) {
		struct work_struct *work = per_cpu_ptr(&klp_sync_work, cpu);

		INIT_WORK(work, klp_sync);
		schedule_work_on(cpu, work);
	}
	for_each_online_cpu(cpu)
		flush_work(per_cpu_ptr(&klp_sync_work, cpu));
	cpus_read_unlock();
}

/* Waits until no task is preempted in an ftrace trampoline any more. */
void klp_shim_synchronize_tasks(void)
{
	synchronize_rcu_tasks();
}

/*
 * Whether functions that all tasks run in the same version are called by a
 * jump. On unless an administrator says otherwise, at boot or later.
 */
bool klp_jump = true;
static bool klp_jump_ready;

static void klp_jump_work_fn(struct work_struct *work)
{
	klp_rust_jump();
}

static DECLARE_WORK(klp_jump_work, klp_jump_work_fn);

/*
 * A writer holds the lock of all parameters, and may be a callback that runs
 * under klp_mutex: it waits for nobody.
 */
static int klp_jump_set(const char *val, const struct kernel_param *kp)
{
	int err = param_set_bool(val, kp);

	/* Before that, nothing is patched. */
	if (!err && klp_jump_ready)
		queue_work(system_long_wq, &klp_jump_work);

	return err;
}

static const struct kernel_param_ops klp_jump_ops = {
	.flags	= KERNEL_PARAM_OPS_FL_NOARG,
	.set	= klp_jump_set,
	.get	= param_get_bool,
};

#undef MODULE_PARAM_PREFIX
#define MODULE_PARAM_PREFIX "livepatch."
module_param_cb(jump, &klp_jump_ops, &klp_jump, 0644);

/* Not all architectures can do this. */
void __weak clear_relocate_add(Elf_Shdr *sechdrs, const char *strtab,
			       unsigned int symindex, unsigned int relsec,
			       struct module *me)
{
}

static int __init klp_init_early(void)
{
	klp_shim_shadow_init();
	klp_rust_init_early();
	klp_jump_ready = true;
	return 0;
}
core_initcall(klp_init_early);

static int __init klp_init(void)
{
	return klp_rust_init();
}
module_init(klp_init);

EXPORT_SYMBOL_GPL(klp_disable_patch);
EXPORT_SYMBOL_GPL(klp_enable_patch);
EXPORT_SYMBOL_GPL(klp_find_section_by_name);
EXPORT_SYMBOL_GPL(klp_get_prev_state);
EXPORT_SYMBOL_GPL(klp_get_state);
EXPORT_SYMBOL_GPL(klp_register_patch);
EXPORT_SYMBOL_GPL(klp_shadow_alloc);
EXPORT_SYMBOL_GPL(klp_shadow_free);
EXPORT_SYMBOL_GPL(klp_shadow_free_all);
EXPORT_SYMBOL_GPL(klp_shadow_get);
EXPORT_SYMBOL_GPL(klp_shadow_get_or_alloc);
EXPORT_SYMBOL_GPL(klp_unregister_patch);
