// SPDX-License-Identifier: GPL-2.0
/*
 * Functions to be patched by the KUnit tests, their replacements, and modules
 * for the patches.
 */

#include <linux/completion.h>
#include <linux/cpumask.h>
#include <linux/jiffies.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/uaccess.h>
#include "targets.h"
#include "tests.h"

KLP_TEST_VERSION(klp_test_one, 0)
KLP_TEST_VERSION(klp_test_one_v1, 1)
KLP_TEST_VERSION(klp_test_one_v2, 2)
KLP_TEST_VERSION(klp_test_one_v3, 3)
KLP_TEST_VERSION(klp_test_two, 0)
KLP_TEST_VERSION(klp_test_two_v1, 1)
KLP_TEST_VERSION(klp_test_two_v2, 2)
KLP_TEST_VERSION(klp_test_twin_v1, 1)
KLP_TEST_VERSION(klp_test_twin_v2, 2)
/* Known to kallsyms and not to ftrace. */
notrace KLP_TEST_VERSION(klp_test_untraced, 0)

static KLP_TEST_VERSION(klp_test_twin, 0)

klp_test_func_t klp_test_first_twin(void)
{
	return klp_test_twin;
}

static DECLARE_COMPLETION(klp_test_asleep);
static DECLARE_COMPLETION(klp_test_awake);

/* Not a tail call: the function has to be on the stack. */
#define KLP_TEST_SLEEP(name, version)				\
noinline int name(void)						\
{								\
	int ret = version;					\
								\
	complete(&klp_test_asleep);				\
	wait_for_completion(&klp_test_awake);			\
	OPTIMIZER_HIDE_VAR(ret);				\
	return ret;						\
}

KLP_TEST_SLEEP(klp_test_sleep, 0)
KLP_TEST_SLEEP(klp_test_sleep_v1, 1)

bool klp_test_sleeping(void)
{
	return wait_for_completion_timeout(&klp_test_asleep, 60 * HZ);
}

void klp_test_wake(void)
{
	complete(&klp_test_awake);
}

/* No sections: there are no relocations. */
static struct klp_modinfo klp_test_modinfo;
static struct module klp_test_modules[KLP_TEST_MODULES];

/*
 * The core asks for the name, whether it is a livepatch module that has come to
 * its init function, and takes and gives references. The module loader does not
 * know these modules.
 */
struct module *klp_test_module(unsigned int nr)
{
	struct module *mod = &klp_test_modules[nr];

	if (!mod->klp) {
		snprintf(mod->name, sizeof(mod->name), "klp_test_%u", nr);
		mod->state = MODULE_STATE_LIVE;
		mod->klp = true;
		mod->klp_info = &klp_test_modinfo;
		/* The one that the loader has. */
		atomic_set(&mod->refcnt, 1);
	}
	return mod;
}

unsigned long klp_test_code_at(unsigned long ip)
{
	unsigned long code = 0;

	copy_from_kernel_nofault(&code, (void *)ip, sizeof(code));
	return code;
}

static bool klp_test_is_idle(struct task_struct *task)
{
	return READ_ONCE(task->patch_state) == KLP_TRANSITION_IDLE &&
	       !test_tsk_thread_flag(task, TIF_PATCH_PENDING);
}

bool klp_test_tasklist_is_free(void)
{
	bool is_free;

	local_irq_disable();
	is_free = write_trylock(&tasklist_lock);
	if (is_free)
		write_unlock(&tasklist_lock);
	local_irq_enable();

	return is_free;
}

bool klp_test_tasks_are_idle(void)
{
	struct task_struct *g, *task;
	bool idle = true;
	unsigned int cpu;

	read_lock(&tasklist_lock);
	for_each_process_thread(g, task)
		idle &= klp_test_is_idle(task);
	read_unlock(&tasklist_lock);

	for_each_possible_cpu(cpu)
		idle &= klp_test_is_idle(idle_task(cpu));

	return idle;
}
