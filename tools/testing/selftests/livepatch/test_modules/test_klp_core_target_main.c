// SPDX-License-Identifier: GPL-2.0
/*
 * The module whose functions the test-core-* livepatches replace.
 *
 * Every core_target_*() function below is called through a pointer that is
 * read anew each time, and answers with a variable: the compiler can neither
 * inline it, nor clone it, nor know what it returns.
 *
 * /sys/kernel/debug/test_klp_core/
 *	version, version2	what the two functions answer
 *	name			what a function with two names answers; see
 *				test_klp_core_target_alias.c
 *	dup			what two functions of the same name answer
 *	dup_addr		their addresses, in the same order
 *	busy			reading sleeps in core_target_busy() until
 *				"release" is written, then shows its answer
 *	busy_or_signal		the same, but a signal ends the sleep, too
 *	deep			reading sleeps like "busy", but deep down on the
 *				stack; see test_klp_core_target_deep.c
 *	kthread			1: a kthread sleeps in core_target_busy(), and
 *				then idles; 0: stop it; reading shows the
 *				answer, -1 as long as there is none
 *	sleepers		number of tasks in core_target_busy()
 *	release			any write lets all these tasks go
 *	pair			one pass of core_target_pair()
 *	hammer			number of kthreads which do such passes
 *	stats			passes: all, by old code, by new code, mixed
 *	passes			those that were not mixed, by version from 0
 *	irq, irq_stats, spin	see test_klp_core_target_irq.c
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/atomic.h>
#include <linux/debugfs.h>
#include <linux/err.h>
#include <linux/error-injection.h>
#include <linux/kernel.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/wait.h>
#include "test_klp_core.h"
#include "test_klp_core_target.h"

#define MAX_HAMMERS	8
#define MAX_VERSIONS	3

static int original_version;
static int dup_version = 1;

static DECLARE_WAIT_QUEUE_HEAD(sleep_wq);
static unsigned int release_count;
static atomic_t sleepers = ATOMIC_INIT(0);

static atomic_t pauses = ATOMIC_INIT(0);
static atomic_t passes_old = ATOMIC_INIT(0);
static atomic_t passes_new = ATOMIC_INIT(0);
static atomic_t passes_mixed = ATOMIC_INIT(0);
static atomic_t passes_by[MAX_VERSIONS];

static DEFINE_MUTEX(thread_lock);
static struct task_struct *sleep_thread;
static int sleep_answer = -1;
static struct task_struct *hammers[MAX_HAMMERS];
static unsigned int nr_hammers;

static struct dentry *dir;

/* The functions to be patched. */

static noinline int core_target_version(void)
{
	return READ_ONCE(original_version);
}

/* For those of test-core-consumers.sh who decide what a function returns. */
ALLOW_ERROR_INJECTION(core_target_version, ERRNO);

static noinline int core_target_version2(void)
{
	return READ_ONCE(original_version);
}

/* There is another function of this name in test_klp_core_target_dup.c. */
static noinline int core_target_dup(void)
{
	return READ_ONCE(dup_version);
}

static noinline int core_target_busy(void (*sleep)(void))
{
	sleep();
	return READ_ONCE(original_version);
}

static noinline int core_target_pair_a(void)
{
	return READ_ONCE(original_version);
}

static noinline int core_target_pair_b(void)
{
	return READ_ONCE(original_version);
}

static noinline void core_target_pair(struct core_pair *pair)
{
	pair->a = pair->get_a();
	pair->pause();
	pair->b = pair->get_b();
	pair->self = READ_ONCE(original_version);
}

/* ftrace cannot attach to this one. */
static noinline notrace int core_target_notrace(void)
{
	return READ_ONCE(original_version);
}

/* How they are called. */

int (*version_fn)(void) = core_target_version;
static int (*version2_fn)(void) = core_target_version2;
static int (*dup_fn)(void) = core_target_dup;
static int (*busy_fn)(void (*sleep)(void)) = core_target_busy;
static int (*pair_a_fn)(void) = core_target_pair_a;
static int (*pair_b_fn)(void) = core_target_pair_b;
static void (*pair_fn)(struct core_pair *pair) = core_target_pair;
static int (*notrace_fn)(void) = core_target_notrace;

void sleep_until_release(void)
{
	unsigned int start = READ_ONCE(release_count);

	atomic_inc(&sleepers);
	wait_event_idle(sleep_wq, READ_ONCE(release_count) != start);
	atomic_dec(&sleepers);
}

static void sleep_until_release_or_signal(void)
{
	unsigned int start = READ_ONCE(release_count);

	atomic_inc(&sleepers);
	wait_event_interruptible(sleep_wq, READ_ONCE(release_count) != start);
	atomic_dec(&sleepers);
}

/* Be switched out between the two halves, if anything can switch it. */
static void pair_pause(void)
{
	if (atomic_inc_return(&pauses) % 4)
		schedule();
	else
		schedule_timeout_idle(1);
}

static void pair_pass(struct core_pair *pair)
{
	memset(pair, 0, sizeof(*pair));
	pair->get_a = READ_ONCE(pair_a_fn);
	pair->get_b = READ_ONCE(pair_b_fn);
	pair->pause = pair_pause;

	READ_ONCE(pair_fn)(pair);

	if (pair->self != pair->a || pair->self != pair->b)
		atomic_inc(&passes_mixed);
	else if (pair->self)
		atomic_inc(&passes_new);
	else
		atomic_inc(&passes_old);

	if (pair->self == pair->a && pair->self == pair->b &&
	    pair->self >= 0 && pair->self < MAX_VERSIONS)
		atomic_inc(&passes_by[pair->self]);
}

static int version_show(struct seq_file *m, void *v)
{
	seq_printf(m, "%d\n", READ_ONCE(version_fn)());
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(version);

static int version2_show(struct seq_file *m, void *v)
{
	seq_printf(m, "%d\n", READ_ONCE(version2_fn)());
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(version2);

static int dup_show(struct seq_file *m, void *v)
{
	seq_printf(m, "%d %d\n", READ_ONCE(dup_fn)(),
		   READ_ONCE(core_target_dup_second)());
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(dup);

static int dup_addr_show(struct seq_file *m, void *v)
{
	seq_printf(m, "%px %px\n", READ_ONCE(dup_fn),
		   READ_ONCE(core_target_dup_second));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(dup_addr);

static int busy_show(struct seq_file *m, void *v)
{
	seq_printf(m, "%d\n", READ_ONCE(busy_fn)(sleep_until_release));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(busy);

static int busy_or_signal_show(struct seq_file *m, void *v)
{
	int answer = READ_ONCE(busy_fn)(sleep_until_release_or_signal);

	/* The system call is then done again, unless the signal has a handler. */
	if (signal_pending(current))
		return -ERESTARTSYS;

	seq_printf(m, "%d\n", answer);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(busy_or_signal);

static int sleepers_show(struct seq_file *m, void *v)
{
	seq_printf(m, "%d\n", atomic_read(&sleepers));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(sleepers);

static int release_set(void *data, u64 val)
{
	WRITE_ONCE(release_count, READ_ONCE(release_count) + 1);
	wake_up_all(&sleep_wq);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(release_fops, NULL, release_set, "%llu\n");

static int sleep_thread_fn(void *data)
{
	WRITE_ONCE(sleep_answer, READ_ONCE(busy_fn)(sleep_until_release));

	for (;;) {
		set_current_state(TASK_IDLE);
		if (kthread_should_stop())
			break;
		schedule();
	}
	__set_current_state(TASK_RUNNING);
	return 0;
}

static int kthread_get(void *data, u64 *val)
{
	*val = READ_ONCE(sleep_answer);
	return 0;
}

static int kthread_set(void *data, u64 val)
{
	struct task_struct *task;
	int ret = 0;

	mutex_lock(&thread_lock);
	if (sleep_thread && !val) {
		kthread_stop(sleep_thread);
		sleep_thread = NULL;
	} else if (!sleep_thread && val) {
		WRITE_ONCE(sleep_answer, -1);
		task = kthread_run(sleep_thread_fn, NULL, "core_sleeper");
		if (IS_ERR(task))
			ret = PTR_ERR(task);
		else
			sleep_thread = task;
	}
	mutex_unlock(&thread_lock);
	return ret;
}
DEFINE_DEBUGFS_ATTRIBUTE(kthread_fops, kthread_get, kthread_set, "%lld\n");

static int pair_show(struct seq_file *m, void *v)
{
	struct core_pair pair;

	pair_pass(&pair);
	seq_printf(m, "%d %d %d\n", pair.self, pair.a, pair.b);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(pair);

static int hammer_fn(void *data)
{
	struct core_pair pair;

	while (!kthread_should_stop()) {
		pair_pass(&pair);
		schedule_timeout_idle(1);
	}
	return 0;
}

static int hammer_get(void *data, u64 *val)
{
	*val = READ_ONCE(nr_hammers);
	return 0;
}

static int hammer_set(void *data, u64 val)
{
	struct task_struct *task;
	int ret = 0;

	if (val > MAX_HAMMERS)
		return -EINVAL;

	mutex_lock(&thread_lock);
	while (nr_hammers > val)
		kthread_stop(hammers[--nr_hammers]);
	while (nr_hammers < val) {
		task = kthread_run(hammer_fn, NULL, "core_hammer/%u",
				   nr_hammers);
		if (IS_ERR(task)) {
			ret = PTR_ERR(task);
			break;
		}
		hammers[nr_hammers++] = task;
	}
	mutex_unlock(&thread_lock);
	return ret;
}
DEFINE_DEBUGFS_ATTRIBUTE(hammer_fops, hammer_get, hammer_set, "%llu\n");

static int stats_show(struct seq_file *m, void *v)
{
	int old = atomic_read(&passes_old);
	int new = atomic_read(&passes_new);
	int mixed = atomic_read(&passes_mixed);

	seq_printf(m, "%d %d %d %d\n", old + new + mixed, old, new, mixed);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(stats);

static int passes_show(struct seq_file *m, void *v)
{
	int i;

	for (i = 0; i < MAX_VERSIONS; i++)
		seq_printf(m, "%d%c", atomic_read(&passes_by[i]),
			   i + 1 < MAX_VERSIONS ? ' ' : '\n');
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(passes);

static int test_klp_core_target_init(void)
{
	/* No livepatch can change what this one answers. */
	if (READ_ONCE(notrace_fn)())
		return -EINVAL;

	dir = debugfs_create_dir("test_klp_core", NULL);
	if (IS_ERR(dir))
		return PTR_ERR(dir);

	debugfs_create_file("version", 0444, dir, NULL, &version_fops);
	debugfs_create_file("version2", 0444, dir, NULL, &version2_fops);
	debugfs_create_file("dup", 0444, dir, NULL, &dup_fops);
	debugfs_create_file("dup_addr", 0400, dir, NULL, &dup_addr_fops);
	debugfs_create_file("busy", 0444, dir, NULL, &busy_fops);
	debugfs_create_file("busy_or_signal", 0444, dir, NULL,
			    &busy_or_signal_fops);
	core_target_alias_init(dir);
	core_target_deep_init(dir);
	debugfs_create_file("sleepers", 0444, dir, NULL, &sleepers_fops);
	debugfs_create_file("release", 0200, dir, NULL, &release_fops);
	debugfs_create_file("kthread", 0600, dir, NULL, &kthread_fops);
	debugfs_create_file("pair", 0444, dir, NULL, &pair_fops);
	debugfs_create_file("hammer", 0600, dir, NULL, &hammer_fops);
	debugfs_create_file("stats", 0444, dir, NULL, &stats_fops);
	debugfs_create_file("passes", 0444, dir, NULL, &passes_fops);
	core_target_irq_init(dir, &version_fn, &busy_fn);
	return 0;
}

static void test_klp_core_target_exit(void)
{
	debugfs_remove(dir);
	release_set(NULL, 1);
	kthread_set(NULL, 0);
	hammer_set(NULL, 0);
	core_target_irq_exit();
}

module_init(test_klp_core_target_init);
module_exit(test_klp_core_target_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Livepatch test: functions to be patched");
