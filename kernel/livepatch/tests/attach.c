// SPDX-License-Identifier: GPL-2.0
/*
 * Functions to be attached in large batches, and who else may have them.
 */

#include <linux/ftrace.h>
#include <linux/rcupdate.h>
#include "../shim/calls.h"
#include "../shim/shim.h"
#include "targets.h"
#include "tests.h"

#ifdef CONFIG_X86_64
#include <asm/ibt.h>
#endif

#define KLP_TEST_EIGHT(what, nr)					\
	what(nr##0) what(nr##1) what(nr##2) what(nr##3)			\
	what(nr##4) what(nr##5) what(nr##6) what(nr##7)

#define KLP_TEST_ALL(what)						\
	KLP_TEST_EIGHT(what, 0) KLP_TEST_EIGHT(what, 1)			\
	KLP_TEST_EIGHT(what, 2) KLP_TEST_EIGHT(what, 3)			\
	KLP_TEST_EIGHT(what, 4) KLP_TEST_EIGHT(what, 5)			\
	KLP_TEST_EIGHT(what, 6) KLP_TEST_EIGHT(what, 7)

#define KLP_TEST_DEFINE(nr) static KLP_TEST_VERSION(klp_test_many_##nr, 0)
#define KLP_TEST_LIST(nr) klp_test_many_##nr,

KLP_TEST_ALL(KLP_TEST_DEFINE)

static const klp_test_func_t klp_test_many_funcs[KLP_TEST_MANY] = {
	KLP_TEST_ALL(KLP_TEST_LIST)
};

unsigned long klp_test_many(unsigned int nr)
{
	return ftrace_location((unsigned long)klp_test_many_funcs[nr]);
}

static void notrace klp_test_owner_handler(unsigned long ip,
					   unsigned long parent_ip,
					   struct ftrace_ops *ops,
					   struct ftrace_regs *fregs)
{
}

static struct ftrace_ops klp_test_owner = {
	.func	= klp_test_owner_handler,
	.flags	= FTRACE_OPS_FL_IPMODIFY
#ifndef CONFIG_HAVE_DYNAMIC_FTRACE_WITH_ARGS
		| FTRACE_OPS_FL_SAVE_REGS
#endif
};

int klp_test_own(unsigned long ip)
{
	return ftrace_set_filter_ip(&klp_test_owner, ip, 0, 1) ?:
	       register_ftrace_function(&klp_test_owner);
}

void klp_test_disown(void)
{
	unregister_ftrace_function(&klp_test_owner);
}

int klp_test_owner_filter(unsigned long ip)
{
	return ftrace_set_filter_ip(&klp_test_owner, ip, 0, 1);
}

int klp_test_owner_jumps(unsigned long ip, unsigned long target)
{
#ifdef CONFIG_DYNAMIC_FTRACE_IPMODIFY_JMP
	return ftrace_set_jumps(&klp_test_owner, &ip, &target, 1);
#else
	return -EOPNOTSUPP;
#endif
}

int klp_test_owner_calls(unsigned long ip)
{
#ifdef CONFIG_DYNAMIC_FTRACE_IPMODIFY_JMP
	return ftrace_clear_jumps(&klp_test_owner, &ip, 1);
#else
	return -EOPNOTSUPP;
#endif
}

struct klp_version *klp_test_find_call(const struct klp_calls *calls,
				       unsigned long ip)
{
	guard(preempt_notrace)();
	return klp_find_call(calls, ip);
}

/* As if ftrace had never heard of it. */
int klp_test_lose(unsigned long ip)
{
	return ftrace_set_filter_ip(&klp_ftrace_ops, ip, 1, 0);
}

unsigned int klp_test_ftrace_ops(void)
{
	struct ftrace_ops *op;
	unsigned int count = 0;

	guard(preempt_notrace)();
	for (op = rcu_dereference_sched(ftrace_ops_list);
	     op != &ftrace_list_end; op = rcu_dereference_sched(op->next))
		count++;

	return count;
}

#ifdef CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS
void klp_test_direct_tramp(void);

/*
 * Goes back to the function at once. Where that is, and where the function
 * returns to, are in registers that each architecture has chosen for it.
 */
#if defined(CONFIG_X86_64)
#define KLP_TEST_DIRECT_TRAMP						\
	ASM_ENDBR							\
	ASM_RET
#elif defined(CONFIG_ARM64)
#define KLP_TEST_DIRECT_TRAMP						\
"	hint		34\n" /* bti c */				\
"	mov		x10, x30\n"					\
"	mov		x30, x9\n"					\
"	ret		x10\n"
#elif defined(CONFIG_LOONGARCH)
#define KLP_TEST_DIRECT_TRAMP						\
"	move		$t1, $ra\n"					\
"	move		$ra, $t0\n"					\
"	jr		$t1\n"
#elif defined(CONFIG_PPC_FTRACE_OUT_OF_LINE)
#define KLP_TEST_DIRECT_TRAMP						\
"	blr\n"
#elif defined(CONFIG_PPC64)
#define KLP_TEST_DIRECT_TRAMP						\
"	mflr		11\n"						\
"	mtctr		11\n"						\
"	mtlr		0\n"						\
"	bctr\n"
#elif defined(CONFIG_S390)
#define KLP_TEST_DIRECT_TRAMP						\
"	lgr		%r1, %r0\n"					\
"	br		%r1\n"
#endif

asm(
"	.pushsection	.text, \"ax\", @progbits\n"
"	.type		klp_test_direct_tramp, @function\n"
"	.globl		klp_test_direct_tramp\n"
"klp_test_direct_tramp:\n"
	KLP_TEST_DIRECT_TRAMP
"	.size		klp_test_direct_tramp, .-klp_test_direct_tramp\n"
"	.popsection\n"
);

static unsigned long klp_test_direct_refuses;
static int klp_test_direct_busy;
static int klp_test_direct_sharing;

/* Called under direct_mutex. */
static int klp_test_direct_asked(struct ftrace_ops *op, unsigned long ip,
				 enum ftrace_ops_cmd cmd)
{
	switch (cmd) {
	case FTRACE_OPS_CMD_ENABLE_SHARE_IPMODIFY_PEER:
		if (klp_test_direct_busy) {
			klp_test_direct_busy--;
			return -EAGAIN;
		}
		if (ip == klp_test_direct_refuses)
			return -EBUSY;
		klp_test_direct_sharing++;
		return 0;
	case FTRACE_OPS_CMD_DISABLE_SHARE_IPMODIFY_PEER:
		klp_test_direct_sharing--;
		return 0;
	default:
		/* It is the one that comes later. */
		return 0;
	}
}

static struct ftrace_ops klp_test_direct = {
	.ops_func = klp_test_direct_asked,
};

int klp_test_direct_start(unsigned long *ips, unsigned int count,
			  unsigned long refuses)
{
	klp_test_direct_refuses = refuses;
	klp_test_direct_busy = 0;
	klp_test_direct_sharing = 0;
	return ftrace_set_filter_ips(&klp_test_direct, ips, count, 0, 1) ?:
	       register_ftrace_direct(&klp_test_direct,
				      (unsigned long)klp_test_direct_tramp);
}

/* How often it will ask for another try; returns how often it still would have. */
int klp_test_direct_be_busy(int times)
{
	return xchg(&klp_test_direct_busy, times);
}

int klp_test_direct_stop(void)
{
	unregister_ftrace_direct(&klp_test_direct,
				 (unsigned long)klp_test_direct_tramp, false);
	return klp_test_direct_sharing;
}
#else
int klp_test_direct_start(unsigned long *ips, unsigned int count,
			  unsigned long refuses)
{
	return -EOPNOTSUPP;
}

int klp_test_direct_be_busy(int times)
{
	return 0;
}

int klp_test_direct_stop(void)
{
	return 0;
}
#endif
