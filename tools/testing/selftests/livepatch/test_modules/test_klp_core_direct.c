// SPDX-License-Identifier: GPL-2.0

/*
 * A direct caller of a function of the target module, like a BPF trampoline,
 * that shares the function with a livepatch only if it is told to.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/ftrace.h>
#include <linux/module.h>

#ifdef CONFIG_X86_64
#include <asm/ibt.h>

void core_direct_tramp(void);

/* Counted by the trampoline, which the compiler does not know of. */
static unsigned int core_direct_calls __used;
module_param_named(calls, core_direct_calls, uint, 0444);
MODULE_PARM_DESC(calls, "calls of the function");

/* Counts, and goes back to the function. */
asm(
"	.pushsection	.text, \"ax\", @progbits\n"
"	.type		core_direct_tramp, @function\n"
"	.globl		core_direct_tramp\n"
"core_direct_tramp:\n"
	ASM_ENDBR
"	lock incl	core_direct_calls(%rip)\n"
	ASM_RET
"	.size		core_direct_tramp, .-core_direct_tramp\n"
"	.popsection\n"
);

static bool agree;
module_param(agree, bool, 0444);
MODULE_PARM_DESC(agree, "share the function with a livepatch");

static int core_direct_asked(struct ftrace_ops *op, unsigned long ip,
			     enum ftrace_ops_cmd cmd)
{
	return agree ? 0 : -EBUSY;
}

static struct ftrace_ops direct = {
	.ops_func = core_direct_asked,
};

static int test_klp_core_direct_init(void)
{
	unsigned char function[] = "core_target_version";
	int ret;

	ret = ftrace_set_filter(&direct, function, sizeof(function) - 1, 1);
	if (ret)
		return ret;

	ret = register_ftrace_direct(&direct, (unsigned long)core_direct_tramp);
	if (ret)
		ftrace_free_filter(&direct);
	return ret;
}

static void test_klp_core_direct_exit(void)
{
	unregister_ftrace_direct(&direct, (unsigned long)core_direct_tramp, true);
}
#else
static int test_klp_core_direct_init(void)
{
	return -EOPNOTSUPP;
}

static void test_klp_core_direct_exit(void)
{
}
#endif

module_init(test_klp_core_direct_init);
module_exit(test_klp_core_direct_exit);
MODULE_DESCRIPTION("Livepatch test: a direct caller of a function");
MODULE_LICENSE("GPL");
