// SPDX-License-Identifier: GPL-2.0
/*
 * The shell of the ftrace handler and the ftrace_ops that it hangs on.
 *
 * The shell is C because everything in it must be notrace and most of it is
 * inline functions: rust_helper_*() wrappers of them would be traced
 * themselves. Which version a task runs is decided in handler.rs.
 */

#include <linux/bug.h>
#include <linux/ftrace.h>
#include <linux/livepatch.h>
#include <linux/preempt.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include "calls.h"
#include "shim.h"

/* func_stacks.rs */
extern struct klp_calls *klp_calls;

/*
 * It is said once, and that is noted before: what WARN() calls could be a
 * patched function that leads here again. It chooses as well, so that the
 * handler has nothing to save across this call, which would cost each call of
 * a patched function.
 */
static noinline notrace struct klp_version *
klp_choose_without_state(struct klp_version *top)
{
	static bool warned;

	if (!READ_ONCE(warned)) {
		WRITE_ONCE(warned, true);
		WARN(1, "a task in no patch state has met a version in transition\n");
	}
	return klp_handler_choose(top, KLP_TRANSITION_IDLE);
}

static void notrace klp_ftrace_handler(unsigned long ip,
				       unsigned long parent_ip,
				       struct ftrace_ops *fops,
				       struct ftrace_regs *fregs)
{
	struct klp_version *version;
	unsigned long new_func;
	int patch_state;

	/*
	 * What klp_shim_synchronize() waits for: RCU may not be watching here.
	 *
	 * There is no lock against recursion: nothing below calls what could be
	 * traced, but for one warning. A function that is called when this is
	 * preempted in the end, or interrupted, comes here as from anywhere
	 * else, and has to run the right version as well.
	 */
	preempt_disable_notrace();

	/*
	 * An address dependency orders the reads of the table after this one.
	 * Pairs with PublishThenRead in publish.rs.
	 *
	 * No version: this call was on its way here when the last patch of the
	 * function was taken off. The original function is the right one.
	 */
	version = klp_find_call(READ_ONCE(klp_calls), ip);
	if (!version)
		goto unlock;

	/*
	 * VersionThenFlag: orders the read of the version before the read of
	 * its transition flag. Pairs with FlagsThenStacks in model/protocol.rs.
	 */
	smp_rmb();

	if (unlikely(READ_ONCE(version->transition))) {
		/*
		 * FlagThenState: orders the read of the transition flag before
		 * the read of the task's state. Pairs with StatesThenFlags in
		 * model/protocol.rs.
		 */
		smp_rmb();

		patch_state = READ_ONCE(current->patch_state);
		/* On its last steps, an exiting task is in no list any more. */
		if (unlikely(patch_state == KLP_TRANSITION_IDLE &&
			     !(current->flags & PF_EXITING)))
			version = klp_choose_without_state(version);
		else
			version = klp_handler_choose(version, patch_state);
		if (!version)
			goto unlock;
	}

	/* Jumping to the original function by its address would come back here. */
	new_func = READ_ONCE(version->new_func);
	if (new_func)
		ftrace_regs_set_instruction_pointer(fregs, new_func);

unlock:
	preempt_enable_notrace();
}

#ifdef CONFIG_HAVE_DYNAMIC_FTRACE_WITH_ARGS
#define KLP_OPS_FLAGS	(FTRACE_OPS_FL_IPMODIFY | FTRACE_OPS_FL_PERMANENT)
#else
#define KLP_OPS_FLAGS	(FTRACE_OPS_FL_IPMODIFY | FTRACE_OPS_FL_PERMANENT | \
			 FTRACE_OPS_FL_SAVE_REGS)
#endif

/*
 * One ops for all patched functions: attaching or detaching any number of them
 * is one pass over ftrace's records. It is never freed, so it is not
 * FTRACE_OPS_FL_DYNAMIC and ftrace does not wait for its callers: the core does
 * that itself, once for a whole patch.
 */
struct ftrace_ops klp_ftrace_ops = {
	.func	= klp_ftrace_handler,
	.flags	= KLP_OPS_FLAGS,
};

/*
 * One more ops, for functions that have direct callers. It is not to be freed:
 * who walks ftrace's list may still be there when ftrace has refused an ops.
 */
struct ftrace_ops *klp_shim_ops_alloc(void)
{
	struct ftrace_ops *ops = kzalloc_obj(*ops);

	if (ops) {
		ops->func = klp_ftrace_handler;
		ops->flags = KLP_OPS_FLAGS;
	}
	return ops;
}

bool klp_shim_has_direct_caller(unsigned long ip)
{
	return ftrace_find_rec_direct(ip);
}

#ifdef CONFIG_DYNAMIC_FTRACE_IPMODIFY_JMP
bool klp_shim_can_jump(unsigned long ip, unsigned long target)
{
	return ftrace_can_jump(ip, target);
}

int klp_shim_set_jumps(struct ftrace_ops *ops, const unsigned long *ips,
		       const unsigned long *targets, unsigned int count)
{
	return ftrace_set_jumps(ops, ips, targets, count);
}

int klp_shim_clear_jumps(struct ftrace_ops *ops, const unsigned long *ips,
			 unsigned int count)
{
	return ftrace_clear_jumps(ops, ips, count);
}
#else
bool klp_shim_can_jump(unsigned long ip, unsigned long target)
{
	return false;
}

int klp_shim_set_jumps(struct ftrace_ops *ops, const unsigned long *ips,
		       const unsigned long *targets, unsigned int count)
{
	return -EOPNOTSUPP;
}

int klp_shim_clear_jumps(struct ftrace_ops *ops, const unsigned long *ips,
			 unsigned int count)
{
	return -EOPNOTSUPP;
}
#endif
