// SPDX-License-Identifier: GPL-2.0
/*
 * Something other than a livepatch that is attached to functions, and counts
 * their calls.
 *
 * kind=ops		an ftrace_ops that only looks
 * kind=ipmodify	one that might change where the function goes on
 * kind=kprobe		a kprobe on each function
 * kind=kprobe_post	with a post_handler: it uses an ftrace_ops of the
 *			second kind
 * kind=kretprobe	a kretprobe on each function
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/compiler.h>
#include <linux/ftrace.h>
#include <linux/kernel.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/string.h>

#define MAX_FUNCTIONS	3

static char *kind = "";
module_param(kind, charp, 0444);

static char *functions[MAX_FUNCTIONS];
static int nr_functions;
module_param_array(functions, charp, &nr_functions, 0444);

/* Some calls may be missed, when two are counted at the same time. */
static unsigned int calls[MAX_FUNCTIONS];
module_param_array(calls, uint, NULL, 0444);

static struct ftrace_ops ops[MAX_FUNCTIONS];
static struct kprobe kprobes[MAX_FUNCTIONS];
static struct kretprobe kretprobes[MAX_FUNCTIONS];

static void notrace ops_func(unsigned long ip, unsigned long parent_ip,
			     struct ftrace_ops *op, struct ftrace_regs *fregs)
{
	WRITE_ONCE(calls[op - ops], READ_ONCE(calls[op - ops]) + 1);
}

static int __kprobes pre_handler(struct kprobe *p, struct pt_regs *regs)
{
	WRITE_ONCE(calls[p - kprobes], READ_ONCE(calls[p - kprobes]) + 1);
	return 0;
}

static void __kprobes post_handler(struct kprobe *p, struct pt_regs *regs,
				   unsigned long flags)
{
}

static int __kprobes ret_handler(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	struct kretprobe *rp = get_kretprobe(ri);

	if (rp)
		WRITE_ONCE(calls[rp - kretprobes], READ_ONCE(calls[rp - kretprobes]) + 1);
	return 0;
}

static int attach(int i)
{
	int ret;

	if (!strcmp(kind, "ops") || !strcmp(kind, "ipmodify")) {
		ops[i].func = ops_func;
		if (!strcmp(kind, "ipmodify"))
			ops[i].flags = FTRACE_OPS_FL_IPMODIFY |
				       FTRACE_OPS_FL_SAVE_REGS_IF_SUPPORTED;
		ret = ftrace_set_filter(&ops[i], functions[i], strlen(functions[i]), 1);
		return ret ?: register_ftrace_function(&ops[i]);
	}
	if (!strcmp(kind, "kprobe") || !strcmp(kind, "kprobe_post")) {
		kprobes[i].symbol_name = functions[i];
		kprobes[i].pre_handler = pre_handler;
		if (!strcmp(kind, "kprobe_post"))
			kprobes[i].post_handler = post_handler;
		return register_kprobe(&kprobes[i]);
	}
	if (!strcmp(kind, "kretprobe")) {
		kretprobes[i].kp.symbol_name = functions[i];
		kretprobes[i].handler = ret_handler;
		kretprobes[i].maxactive = 16;
		return register_kretprobe(&kretprobes[i]);
	}
	return -EINVAL;
}

static void detach(int i)
{
	if (ops[i].func) {
		unregister_ftrace_function(&ops[i]);
		ftrace_free_filter(&ops[i]);
	} else if (kprobes[i].pre_handler) {
		unregister_kprobe(&kprobes[i]);
	} else {
		unregister_kretprobe(&kretprobes[i]);
	}
}

static int test_klp_core_tracer_init(void)
{
	int i, ret;

	for (i = 0; i < nr_functions; i++) {
		ret = attach(i);
		if (ret) {
			if (ops[i].func)
				ftrace_free_filter(&ops[i]);
			while (i--)
				detach(i);
			return ret;
		}
	}
	return 0;
}

static void test_klp_core_tracer_exit(void)
{
	int i;

	for (i = 0; i < nr_functions; i++)
		detach(i);
}

module_init(test_klp_core_tracer_init);
module_exit(test_klp_core_tracer_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Livepatch test: tracers of a function");
