// SPDX-License-Identifier: GPL-2.0
/*
 * Something other than a livepatch that is attached to functions, and counts
 * their calls.
 *
 * kind=ops		an ftrace_ops that only looks
 * kind=hold		one that keeps the task with the number "victim" until
 *			"release" is set: if somebody wants its CPU then, it is
 *			preempted at the end of the call, when all handlers have
 *			had their say
 * kind=ipmodify	one that might change where the function goes on
 * kind=kprobe		a kprobe on each function
 * kind=kprobe_post	with a post_handler: it uses an ftrace_ops of the
 *			second kind
 * kind=kprobe_body	a kprobe behind the call of ftrace: the replacement has none
 * kind=kprobe_redirect	one that changes where the function goes on, and does not
 *			say so: it uses an ftrace_ops that only looks. This is
 *			what bpf_override_return() does.
 * kind=kretprobe	a kretprobe on each function
 * kind=fprobe		an fprobe at the entry of each function
 * kind=fprobe_exit	and at its exit
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/compiler.h>
#include <linux/fprobe.h>
#include <linux/ftrace.h>
#include <linux/jiffies.h>
#include <linux/kernel.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/string.h>

#define MAX_FUNCTIONS	3
/* How far behind the entry of a function kprobe_body looks for an instruction. */
#define MAX_OFFSET	24
/* A test that has failed releases nobody. */
#define HOLD_SECONDS	15

static char *kind = "";
module_param(kind, charp, 0444);

static int victim = -1;
module_param(victim, int, 0444);

static bool release;
module_param(release, bool, 0644);

static char *functions[MAX_FUNCTIONS];
static int nr_functions;
module_param_array(functions, charp, &nr_functions, 0444);

/* Some calls may be missed, when two are counted at the same time. */
static unsigned int calls[MAX_FUNCTIONS];
module_param_array(calls, uint, NULL, 0444);

/* What the functions returned last, as seen by those who are there then. */
static int returned[MAX_FUNCTIONS];
module_param_array(returned, int, NULL, 0444);

static int redirect_answer = 77;

static struct ftrace_ops ops[MAX_FUNCTIONS];
static struct kprobe kprobes[MAX_FUNCTIONS];
static struct kretprobe kretprobes[MAX_FUNCTIONS];
static struct fprobe fprobes[MAX_FUNCTIONS];

static void notrace count(int i)
{
	WRITE_ONCE(calls[i], READ_ONCE(calls[i]) + 1);
}
NOKPROBE_SYMBOL(count);

static void notrace ops_func(unsigned long ip, unsigned long parent_ip,
			     struct ftrace_ops *op, struct ftrace_regs *fregs)
{
	count(op - ops);
}

static void notrace hold_func(unsigned long ip, unsigned long parent_ip,
			      struct ftrace_ops *op, struct ftrace_regs *fregs)
{
	unsigned long end = jiffies + HOLD_SECONDS * HZ;

	if (current->pid != victim)
		return;
	count(op - ops);
	while (!READ_ONCE(release) && time_before(jiffies, end))
		cpu_relax();
}

static int __kprobes pre_handler(struct kprobe *p, struct pt_regs *regs)
{
	count(p - kprobes);
	return 0;
}

static int redirected(void)
{
	return READ_ONCE(redirect_answer);
}

static int __kprobes redirect_handler(struct kprobe *p, struct pt_regs *regs)
{
	count(p - kprobes);
	instruction_pointer_set(regs, (unsigned long)redirected);
	return 1;
}

static void __kprobes post_handler(struct kprobe *p, struct pt_regs *regs,
				   unsigned long flags)
{
}

static int __kprobes ret_handler(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	struct kretprobe *rp = get_kretprobe(ri);

	if (rp) {
		count(rp - kretprobes);
		WRITE_ONCE(returned[rp - kretprobes], regs_return_value(regs));
	}
	return 0;
}

static int notrace fprobe_entry(struct fprobe *fp, unsigned long entry_ip,
				unsigned long ret_ip, struct ftrace_regs *fregs,
				void *entry_data)
{
	count(fp - fprobes);
	return 0;
}

static void notrace fprobe_exit(struct fprobe *fp, unsigned long entry_ip,
				unsigned long ret_ip, struct ftrace_regs *fregs,
				void *entry_data)
{
	count(fp - fprobes);
	WRITE_ONCE(returned[fp - fprobes], ftrace_regs_get_return_value(fregs));
}

static int register_at(struct kprobe *p, unsigned int offset)
{
	p->addr = NULL;
	/* Else, once unregistered, it stays disabled. */
	p->flags = 0;
	p->offset = offset;
	return register_kprobe(p);
}

/*
 * On the first instruction that can be probed behind what ftrace has to do with.
 * What is before that, on some architectures, is run by all calls. A kprobe on
 * the entry is moved to the place of ftrace, where kprobes use that.
 */
static int register_in_body(struct kprobe *p)
{
	kprobe_opcode_t *place = NULL;
	unsigned int offset;
	int ret;

	ret = register_at(p, 0);
	if (ret)
		return ret;
	if (kprobe_ftrace(p))
		place = p->addr;
	unregister_kprobe(p);

	for (offset = 1; offset <= MAX_OFFSET; offset++) {
		ret = register_at(p, offset);
		if (ret)
			continue;
		if (p->addr > place)
			return 0;
		unregister_kprobe(p);
	}
	return ret ?: -EINVAL;
}

static int attach(int i)
{
	int ret;

	if (!strcmp(kind, "ops") || !strcmp(kind, "hold") ||
	    !strcmp(kind, "ipmodify")) {
		ops[i].func = strcmp(kind, "hold") ? ops_func : hold_func;
		if (!strcmp(kind, "ipmodify"))
			ops[i].flags = FTRACE_OPS_FL_IPMODIFY |
				       FTRACE_OPS_FL_SAVE_REGS_IF_SUPPORTED;
		ret = ftrace_set_filter(&ops[i], functions[i], strlen(functions[i]), 1);
		return ret ?: register_ftrace_function(&ops[i]);
	}
	if (!strncmp(kind, "kprobe", strlen("kprobe"))) {
		kprobes[i].symbol_name = functions[i];
		kprobes[i].pre_handler = pre_handler;
		if (!strcmp(kind, "kprobe_post"))
			kprobes[i].post_handler = post_handler;
		if (!strcmp(kind, "kprobe_redirect"))
			kprobes[i].pre_handler = redirect_handler;
		if (!strcmp(kind, "kprobe_body"))
			return register_in_body(&kprobes[i]);
		return register_kprobe(&kprobes[i]);
	}
	if (!strcmp(kind, "kretprobe")) {
		kretprobes[i].kp.symbol_name = functions[i];
		kretprobes[i].handler = ret_handler;
		kretprobes[i].maxactive = 16;
		return register_kretprobe(&kretprobes[i]);
	}
	if (!strcmp(kind, "fprobe") || !strcmp(kind, "fprobe_exit")) {
		if (!strcmp(kind, "fprobe_exit"))
			fprobes[i].exit_handler = fprobe_exit;
		else
			fprobes[i].entry_handler = fprobe_entry;
		return register_fprobe_syms(&fprobes[i], (const char **)&functions[i], 1);
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
	} else if (fprobes[i].entry_handler || fprobes[i].exit_handler) {
		unregister_fprobe(&fprobes[i]);
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
