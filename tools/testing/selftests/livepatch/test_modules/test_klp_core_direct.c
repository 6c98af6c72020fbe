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
#endif

#ifdef CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS
void core_direct_tramp(void);

/* Counted by the trampoline, which the compiler does not know of. */
static unsigned int core_direct_calls __used;
module_param_named(calls, core_direct_calls, uint, 0444);
MODULE_PARM_DESC(calls, "calls of the function");

/* Counts, and goes back to the function, with what the caller has left. */
#if defined(CONFIG_X86_64)
#define CORE_DIRECT_TRAMP						\
	ASM_ENDBR							\
"	lock incl	core_direct_calls(%rip)\n"			\
	ASM_RET
#elif defined(CONFIG_ARM64)
/* x9 is where the function returns to, x30 where in it this does; hint 34 is "bti c". */
#define CORE_DIRECT_TRAMP						\
"	hint		34\n"						\
"	adrp		x10, core_direct_calls\n"			\
"	add		x10, x10, :lo12:core_direct_calls\n"		\
"1:	ldxr		w11, [x10]\n"					\
"	add		w11, w11, #1\n"				\
"	stxr		w12, w11, [x10]\n"				\
"	cbnz		w12, 1b\n"					\
"	mov		x10, x30\n"					\
"	mov		x30, x9\n"					\
"	ret		x10\n"
#elif defined(CONFIG_LOONGARCH)
/* The same in t0 and ra. */
#define CORE_DIRECT_TRAMP						\
"	la.pcrel	$t1, core_direct_calls\n"			\
"	li.w		$t2, 1\n"					\
"	amadd.w		$zero, $t2, $t1\n"				\
"	move		$t1, $ra\n"					\
"	move		$ra, $t0\n"					\
"	jr		$t1\n"
#elif defined(CONFIG_PPC64)
/* The same in r0 and lr, or the other way round where ftrace has no stubs. */
#ifdef CONFIG_PPC_FTRACE_OUT_OF_LINE
#define CORE_DIRECT_RET							\
"	mtlr		11\n"						\
"	blr\n"
#else
#define CORE_DIRECT_RET							\
"	mtctr		11\n"						\
"	mtlr		0\n"						\
"	bctr\n"
#endif
#define CORE_DIRECT_TRAMP						\
"	mflr		11\n"						\
"	bcl		20, 31, 1f\n"					\
"1:	mflr		12\n"						\
"	addis		12, 12, (core_direct_calls - 1b)@ha\n"		\
"	addi		12, 12, (core_direct_calls - 1b)@l\n"		\
"	mtlr		11\n"						\
"2:	lwarx		11, 0, 12\n"					\
"	addi		11, 11, 1\n"					\
"	stwcx.		11, 0, 12\n"					\
"	bne-		2b\n"						\
"	mflr		11\n"						\
	CORE_DIRECT_RET
#elif defined(CONFIG_S390)
/* The same in r14 and r0. */
#define CORE_DIRECT_TRAMP						\
"	larl		%r1, core_direct_calls\n"			\
"	asi		0(%r1), 1\n"					\
"	lgr		%r1, %r0\n"					\
"	br		%r1\n"
#endif

asm(
"	.pushsection	.text, \"ax\", @progbits\n"
"	.type		core_direct_tramp, @function\n"
"	.globl		core_direct_tramp\n"
"core_direct_tramp:\n"
	CORE_DIRECT_TRAMP
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
