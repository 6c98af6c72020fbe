// SPDX-License-Identifier: GPL-2.0
/*
 * What is at call sites that jump, and a tracer that keeps them from it.
 */

#include <linux/ftrace.h>
#include <linux/text-patching.h>
#include <linux/uaccess.h>
#include "tests.h"

#ifdef CONFIG_X86_64
unsigned long klp_test_jump_target(unsigned long ip)
{
	struct {
		u8 opcode;
		s32 distance;
	} __packed code;

	if (copy_from_kernel_nofault(&code, (void *)ip, sizeof(code)) ||
	    code.opcode != JMP32_INSN_OPCODE)
		return 0;

	return ip + JMP32_INSN_SIZE + code.distance;
}
#else
unsigned long klp_test_jump_target(unsigned long ip)
{
	return 0;
}
#endif

static unsigned int klp_test_traced;

static void notrace klp_test_tracer_func(unsigned long ip,
					 unsigned long parent_ip,
					 struct ftrace_ops *ops,
					 struct ftrace_regs *fregs)
{
	WRITE_ONCE(klp_test_traced, klp_test_traced + 1);
}

static struct ftrace_ops klp_test_tracer = {
	.func	= klp_test_tracer_func,
};

int klp_test_trace(unsigned long ip)
{
	klp_test_traced = 0;
	return ftrace_set_filter_ip(&klp_test_tracer, ip, 0, 1) ?:
	       register_ftrace_function(&klp_test_tracer);
}

/* Returns how many calls there were. */
unsigned int klp_test_untrace(void)
{
	unregister_ftrace_function(&klp_test_tracer);
	return klp_test_traced;
}
