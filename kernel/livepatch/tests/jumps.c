// SPDX-License-Identifier: GPL-2.0
/*
 * What is at call sites that jump, and a tracer that keeps them from it.
 */

#include <linux/ftrace.h>
#include <linux/text-patching.h>
#include <linux/uaccess.h>
#include "tests.h"

#if defined(CONFIG_ARM64)
#include <asm/insn.h>
#elif defined(CONFIG_LOONGARCH)
#include <asm/inst.h>
#endif

/* Where the call site jumps to; 0 if it calls, or does nothing. */
#if defined(CONFIG_X86_64)
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
#elif defined(CONFIG_ARM64)
unsigned long klp_test_jump_target(unsigned long ip)
{
	u32 insn;

	if (aarch64_insn_read((void *)ip, &insn) || !aarch64_insn_is_b(insn))
		return 0;

	return ip + aarch64_get_branch_offset(insn);
}
#elif defined(CONFIG_LOONGARCH)
unsigned long klp_test_jump_target(unsigned long ip)
{
	union loongarch_instruction insn;

	/* The first one saves the return address. */
	ip += LOONGARCH_INSN_SIZE;
	if (larch_insn_read((void *)ip, &insn.word) ||
	    insn.reg0i26_format.opcode != b_op)
		return 0;

	return ip + (sign_extend64(insn.reg0i26_format.immediate_h << 16 |
				   insn.reg0i26_format.immediate_l, 25) << 2);
}
#elif defined(CONFIG_S390)
/* The same instruction goes to ftrace: who jumps, is who goes elsewhere. */
unsigned long klp_test_jump_target(unsigned long ip)
{
	struct {
		u16 opcode;
		s32 distance;
	} __packed code;
	/* As in arch/s390/kernel/ftrace.h. */
	struct {
		u16 opcode;
		s32 distance;
		s16 pad;
		u64 rest;
		u64 interceptor;
	} __packed trampoline;
	unsigned long target;

	if (copy_from_kernel_nofault(&code, (void *)ip, sizeof(code)))
		return 0;
	target = ip + code.distance * 2L;
	switch (code.opcode) {
	case 0xc005:
		break;
	case 0xc0f4:
		if (copy_from_kernel_nofault(&trampoline, (void *)target,
					     sizeof(trampoline)))
			return 0;
		target = trampoline.interceptor;
		break;
	default:
		return 0;
	}

	if (target == FTRACE_ADDR || target == FTRACE_REGS_ADDR)
		return 0;

	return target;
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
