// SPDX-License-Identifier: GPL-2.0
/*
 * Shadow variables, used by a module that is no livepatch. The parameter "test"
 * says what to do. Loading fails if anything is not as it should be; the log
 * says what.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/atomic.h>
#include <linux/completion.h>
#include <linux/err.h>
#include <linux/hrtimer.h>
#include <linux/kernel.h>
#include <linux/kthread.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>

#define MAGIC		0x5ad0e1a7c0de5eedUL

/* Two numbers of variables, and those that are tried as keys. */
#define ID_A		0x7e570001UL
#define ID_B		0x7e570002UL
#define ID_NONE		0x7e570003UL

#define MAX_WORKERS	6
#define MAX_THINGS	250
#define RACE_WORKERS	4
#define RACE_KEYS	MAX_THINGS
#define READERS		3
#define WRITERS		2
#define CHURN_KEYS	16
#define CHURN_ROUNDS	4000
/* As much as a variable with what the core adds to it, roughly. */
#define OTHER_SIZE	88
#define TICKS		100

static char *test = "";
module_param(test, charp, 0444);

static unsigned int count = 100000;
module_param(count, uint, 0444);

/* What a variable holds; its constructor fills it, its destructor looks. */
struct var {
	void *obj;
	unsigned long id;
	unsigned long magic;
};

/* Objects that have variables. Nobody but this module looks at them. */
static struct thing {
	atomic_t ctors;
	atomic_t dtors;
} things[MAX_THINGS];

static atomic_t wrong_ctors = ATOMIC_INIT(0);
static atomic_t wrong_dtors = ATOMIC_INIT(0);

static int bad(const char *what)
{
	pr_err("%s: %s\n", test, what);
	return -EINVAL;
}

/* @ctor_data is where the number of the variable is. */
static int ctor(void *obj, void *data, void *ctor_data)
{
	struct thing *thing = obj;
	struct var *var = data;

	if (memchr_inv(var, 0, sizeof(*var)))
		atomic_inc(&wrong_ctors);

	var->obj = obj;
	var->id = *(unsigned long *)ctor_data;
	var->magic = MAGIC;
	atomic_inc(&thing->ctors);
	return 0;
}

static void dtor(void *obj, void *data)
{
	struct thing *thing = obj;
	struct var *var = data;

	/* Whoever has found the variable before still reads it. */
	if (var->obj != obj || var->magic != MAGIC)
		atomic_inc(&wrong_dtors);
	atomic_inc(&thing->dtors);
}

static int failing_ctor(void *obj, void *data, void *ctor_data)
{
	int *calls = ctor_data;

	(*calls)++;
	return -ENOMEM;
}

static struct var *make(void *obj, unsigned long id, gfp_t gfp)
{
	return klp_shadow_alloc(obj, id, sizeof(struct var), gfp, ctor, &id);
}

static struct var *get_or_make(void *obj, unsigned long id, gfp_t gfp)
{
	return klp_shadow_get_or_alloc(obj, id, sizeof(struct var), gfp, ctor, &id);
}

static bool is_right(const struct var *var, void *obj, unsigned long id)
{
	return var && READ_ONCE(var->obj) == obj && READ_ONCE(var->id) == id &&
	       READ_ONCE(var->magic) == MAGIC;
}

/* Has each of these things had so many constructors and destructors? */
static bool all_had(struct thing *thing, unsigned int nr, int ctors, int dtors)
{
	for (; nr; nr--, thing++) {
		if (atomic_read(&thing->ctors) != ctors || atomic_read(&thing->dtors) != dtors) {
			pr_err("%s: %d constructors and %d destructors\n", test,
			       atomic_read(&thing->ctors), atomic_read(&thing->dtors));
			return false;
		}
	}
	return true;
}

static int many_with(struct thing *many, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (!make(&many[i], ID_A, GFP_KERNEL) || !make(&many[i], ID_B, GFP_KERNEL))
			return bad("no variable");
		if (i % 1024 == 0)
			cond_resched();
	}
	for (i = 0; i < nr; i++) {
		if (!is_right(klp_shadow_get(&many[i], ID_A), &many[i], ID_A) ||
		    !is_right(klp_shadow_get(&many[i], ID_B), &many[i], ID_B))
			return bad("a variable is not found");
		if (i % 1024 == 0)
			cond_resched();
	}
	if (!all_had(many, nr, 2, 0))
		return bad("each variable is constructed once");

	klp_shadow_free_all(ID_A, dtor);
	if (!all_had(many, nr, 2, 1))
		return bad("klp_shadow_free_all() destroys each variable once");
	for (i = 0; i < nr; i++) {
		if (klp_shadow_get(&many[i], ID_A))
			return bad("a freed variable is found");
		if (!is_right(klp_shadow_get(&many[i], ID_B), &many[i], ID_B))
			return bad("a variable of the other number is gone");
		if (i % 1024 == 0)
			cond_resched();
	}

	/* Every second by itself, the rest at once. */
	for (i = 0; i < nr; i += 2)
		klp_shadow_free(&many[i], ID_B, dtor);
	for (i = 0; i < nr; i++) {
		if (atomic_read(&many[i].dtors) != 2 - i % 2)
			return bad("klp_shadow_free() destroys the wrong variable");
	}
	klp_shadow_free_all(ID_B, dtor);
	klp_shadow_free_all(ID_B, dtor);
	if (!all_had(many, nr, 2, 2))
		return bad("the rest is destroyed once");
	for (i = 0; i < nr; i++) {
		if (klp_shadow_get(&many[i], ID_A) || klp_shadow_get(&many[i], ID_B))
			return bad("a freed variable is found at the end");
	}
	return 0;
}

static int test_many(void)
{
	unsigned int nr = count / 2;
	struct thing *many;
	int ret;

	many = kvcalloc(nr, sizeof(*many), GFP_KERNEL);
	if (!many)
		return -ENOMEM;
	ret = many_with(many, nr);
	klp_shadow_free_all(ID_A, NULL);
	klp_shadow_free_all(ID_B, NULL);
	kvfree(many);
	return ret;
}

/* The log has two messages of the core. */
static int test_ctor_fails(void)
{
	struct var *var;
	int calls = 0;

	if (klp_shadow_alloc(&things[0], ID_A, sizeof(*var), GFP_KERNEL, failing_ctor, &calls))
		return bad("klp_shadow_alloc() without a constructed variable");
	if (klp_shadow_get(&things[0], ID_A))
		return bad("what was not constructed is found");
	if (klp_shadow_get_or_alloc(&things[0], ID_A, sizeof(*var), GFP_KERNEL,
				    failing_ctor, &calls))
		return bad("klp_shadow_get_or_alloc() without a constructed variable");
	if (klp_shadow_get(&things[0], ID_A))
		return bad("what was not constructed is found afterwards");
	if (calls != 2)
		return bad("the constructor was not called each time");
	klp_shadow_free(&things[0], ID_A, dtor);
	klp_shadow_free_all(ID_A, dtor);
	if (!all_had(things, 1, 0, 0))
		return bad("what was not constructed is destroyed");

	/* The key is as good as new. */
	if (!is_right(make(&things[0], ID_A, GFP_KERNEL), &things[0], ID_A))
		return bad("no variable after the failures");
	klp_shadow_free(&things[0], ID_A, dtor);
	if (!all_had(things, 1, 1, 1))
		return bad("constructed and destroyed once");
	return 0;
}

static int test_existing(void)
{
	struct var *var = make(&things[0], ID_A, GFP_KERNEL);
	int calls = 0;

	if (!is_right(var, &things[0], ID_A))
		return bad("no variable");
	if (klp_shadow_get(&things[0], ID_A) != var)
		return bad("klp_shadow_get() finds another one");
	if (get_or_make(&things[0], ID_A, GFP_KERNEL) != var)
		return bad("klp_shadow_get_or_alloc() returns another one");
	/* Neither size nor constructor of the later caller matter. */
	if (klp_shadow_get_or_alloc(&things[0], ID_A, SZ_4K, GFP_KERNEL,
				    failing_ctor, &calls) != var || calls)
		return bad("what exists is constructed again");
	if (!is_right(var, &things[0], ID_A))
		return bad("the variable has changed");
	klp_shadow_free(&things[0], ID_A, dtor);
	if (klp_shadow_get(&things[0], ID_A))
		return bad("the freed variable is found");
	if (!all_had(things, 1, 1, 1))
		return bad("constructed and destroyed once");

	/* Without a constructor or a destructor. */
	var = klp_shadow_get_or_alloc(&things[0], ID_A, sizeof(*var), GFP_KERNEL, NULL, NULL);
	if (!var || memchr_inv(var, 0, sizeof(*var)))
		return bad("no zeroes without a constructor");
	klp_shadow_free(&things[0], ID_A, NULL);
	if (klp_shadow_get(&things[0], ID_A))
		return bad("the second variable is found");
	return 0;
}

static int test_missing(void)
{
	if (klp_shadow_get(&things[0], ID_A))
		return bad("found without being there");
	klp_shadow_free(&things[0], ID_A, dtor);
	klp_shadow_free_all(ID_A, dtor);

	make(&things[0], ID_A, GFP_KERNEL);
	klp_shadow_free(&things[1], ID_A, dtor);
	klp_shadow_free(&things[0], ID_B, dtor);
	klp_shadow_free(NULL, ID_A, dtor);
	klp_shadow_free_all(ID_B, dtor);
	if (!is_right(klp_shadow_get(&things[0], ID_A), &things[0], ID_A))
		return bad("freeing others frees this one");
	klp_shadow_free(&things[0], ID_A, dtor);
	klp_shadow_free(&things[0], ID_A, dtor);
	if (!all_had(things, 1, 1, 1) || !all_had(&things[1], 1, 0, 0))
		return bad("destroyed once");
	return 0;
}

static int test_keys(void)
{
	static const unsigned long ids[] = { 0, 1, ID_A, ID_B, ID_A << 32, ULONG_MAX };
	/* As near as can be, and none at all. */
	void *objs[] = { NULL, &things[0], (char *)&things[0] + 1, &things[1], (void *)ULONG_MAX };
	unsigned long *data[ARRAY_SIZE(objs)][ARRAY_SIZE(ids)];
	int i, j, k, ret = 0;

	for (i = 0; i < ARRAY_SIZE(objs); i++) {
		for (j = 0; j < ARRAY_SIZE(ids); j++) {
			if (klp_shadow_get(objs[i], ids[j])) {
				ret = bad("a key is found before its time");
				goto out;
			}
			data[i][j] = klp_shadow_alloc(objs[i], ids[j], sizeof(*data[i][j]),
						      GFP_KERNEL, NULL, NULL);
			if (!data[i][j]) {
				ret = bad("a key has no variable");
				goto out;
			}
			*data[i][j] = i * 100 + j;
		}
	}
	for (k = 0; k <= ARRAY_SIZE(ids); k++) {
		for (i = 0; i < ARRAY_SIZE(objs); i++) {
			for (j = 0; j < ARRAY_SIZE(ids); j++) {
				unsigned long *found = klp_shadow_get(objs[i], ids[j]);

				if (j < k ? !found : found == data[i][j] && *found == i * 100 + j)
					continue;
				ret = bad("two keys are mixed up");
				goto out;
			}
		}
		if (k < ARRAY_SIZE(ids))
			klp_shadow_free_all(ids[k], NULL);
	}
out:
	for (i = 0; i < ARRAY_SIZE(objs); i++)
		for (j = 0; j < ARRAY_SIZE(ids); j++)
			klp_shadow_free(objs[i], ids[j], NULL);
	return ret;
}

static int test_sizes(void)
{
	static const size_t sizes[] = { 0, 1, 7, 8, 63, 64, SZ_4K - 1, SZ_4K, SZ_64K };
	u8 *data[ARRAY_SIZE(sizes)];
	int i, round;

	/* Memory that has been in use is zeroed as well. */
	for (round = 0; round < 3; round++) {
		for (i = 0; i < ARRAY_SIZE(sizes); i++) {
			data[i] = klp_shadow_alloc(&things[i], ID_A, sizes[i], GFP_KERNEL,
						   NULL, NULL);
			if (!data[i])
				return bad("no variable of this size");
			if (memchr_inv(data[i], 0, sizes[i]))
				return bad("the memory is not zeroed");
			memset(data[i], 0x80 + i, sizes[i]);
		}
		for (i = 0; i < ARRAY_SIZE(sizes); i++) {
			if (klp_shadow_get(&things[i], ID_A) != data[i])
				return bad("another variable is found");
			if (memchr_inv(data[i], 0x80 + i, sizes[i]))
				return bad("variables overlap");
		}
		if (round == 1)
			klp_shadow_free_all(ID_A, NULL);
		for (i = 0; i < ARRAY_SIZE(sizes); i++) {
			klp_shadow_free(&things[i], ID_A, NULL);
			if (klp_shadow_get(&things[i], ID_A))
				return bad("a freed variable is found");
		}
	}
	return 0;
}

/* Threads that all run @fn with a number of their own. */

static int (*worker_fn)(unsigned int nr);
static struct completion workers_done;

static int worker(void *data)
{
	int ret = READ_ONCE(worker_fn)((unsigned long)data);

	complete(&workers_done);
	return ret;
}

static int run_workers(unsigned int nr, int (*fn)(unsigned int nr))
{
	struct task_struct *tasks[MAX_WORKERS];
	int i, err, ret = 0;

	WRITE_ONCE(worker_fn, fn);
	init_completion(&workers_done);

	for (i = 0; i < nr; i++) {
		tasks[i] = kthread_create(worker, (void *)(unsigned long)i, "core_shadow/%d", i);
		if (IS_ERR(tasks[i])) {
			ret = PTR_ERR(tasks[i]);
			/* They have not run, and will not. */
			while (i--)
				kthread_stop(tasks[i]);
			return ret;
		}
	}
	for (i = 0; i < nr; i++) {
		get_task_struct(tasks[i]);
		wake_up_process(tasks[i]);
	}
	for (i = 0; i < nr; i++)
		wait_for_completion(&workers_done);
	for (i = 0; i < nr; i++) {
		err = kthread_stop_put(tasks[i]);
		if (err)
			ret = err;
	}
	return ret;
}

/* All at the same key at the same time. */

static struct var *race_vars[RACE_WORKERS][RACE_KEYS];
static atomic_t race_arrived = ATOMIC_INIT(0);

static int race_worker(unsigned int nr)
{
	int i;

	for (i = 0; i < RACE_KEYS; i++) {
		atomic_inc(&race_arrived);
		while (atomic_read(&race_arrived) < (i + 1) * RACE_WORKERS)
			schedule();
		race_vars[nr][i] = get_or_make(&things[i], ID_A, GFP_KERNEL);
	}
	return 0;
}

static int test_race(void)
{
	int i, j, ret;

	ret = run_workers(RACE_WORKERS, race_worker);
	if (ret)
		return ret;
	if (!all_had(things, RACE_KEYS, 1, 0))
		return bad("each variable is constructed once");
	for (i = 0; i < RACE_KEYS; i++) {
		for (j = 0; j < RACE_WORKERS; j++) {
			if (!is_right(race_vars[j][i], &things[i], ID_A))
				return bad("not the variable of this object");
			if (race_vars[j][i] != race_vars[0][i])
				return bad("two got different variables");
		}
	}
	klp_shadow_free_all(ID_A, dtor);
	if (!all_had(things, RACE_KEYS, 1, 1))
		return bad("each variable is destroyed once");
	return 0;
}

/* Readers against those who make and free what they read. */

static atomic_t writers = ATOMIC_INIT(0);
static atomic_t reads = ATOMIC_INIT(0);
static atomic_t misses = ATOMIC_INIT(0);

static int churn_read(unsigned int nr)
{
	struct var *var;
	int i, again;

	for (i = nr; atomic_read(&writers); i = (i + 1) % CHURN_KEYS) {
		rcu_read_lock();
		var = klp_shadow_get(&things[i], ID_A);
		/* It may be freed now, but not reused. */
		for (again = 0; var && again < 20; again++) {
			if (!is_right(var, &things[i], ID_A)) {
				rcu_read_unlock();
				return bad("a reader sees something else");
			}
			cpu_relax();
		}
		rcu_read_unlock();
		atomic_inc(var ? &reads : &misses);
		if (i == 0)
			cond_resched();
	}
	return 0;
}

static int churn_write(unsigned int nr)
{
	struct thing *thing;
	void *other;
	int i;

	for (i = 0; i < CHURN_ROUNDS; i++) {
		thing = &things[(i / 2) % CHURN_KEYS];
		if (i % 2) {
			klp_shadow_free(thing, ID_A, dtor);
		} else if (!get_or_make(thing, ID_A, GFP_KERNEL)) {
			atomic_dec(&writers);
			return bad("no variable");
		}
		/* Use the memory that has been freed. */
		other = kmalloc(OTHER_SIZE, GFP_KERNEL);
		if (other)
			memset(other, 0xa5, OTHER_SIZE);
		kfree(other);
		if (i % 64 == 0)
			schedule_timeout_idle(1);
	}
	atomic_dec(&writers);
	return 0;
}

static int churn_worker(unsigned int nr)
{
	return nr < WRITERS ? churn_write(nr) : churn_read(nr);
}

static int test_churn(void)
{
	int i, ret, ctors = 0, dtors = 0;

	atomic_set(&writers, WRITERS);
	ret = run_workers(WRITERS + READERS, churn_worker);
	if (ret)
		return ret;
	if (!atomic_read(&reads) || !atomic_read(&misses))
		return bad("readers and writers did not meet");
	klp_shadow_free_all(ID_A, dtor);
	for (i = 0; i < CHURN_KEYS; i++) {
		ctors += atomic_read(&things[i].ctors);
		dtors += atomic_read(&things[i].dtors);
	}
	if (ctors != dtors || ctors < CHURN_KEYS)
		return bad("not every variable is destroyed once");
	return 0;
}

/* What may not sleep: make, find and free. */
static const char *use_atomically(struct thing *thing)
{
	struct var *var;

	var = make(thing, ID_A, GFP_ATOMIC);
	if (!is_right(var, thing, ID_A))
		return "no variable";
	if (klp_shadow_get(thing, ID_A) != var)
		return "the variable is not found";
	if (get_or_make(thing, ID_A, GFP_ATOMIC) != var)
		return "there is another variable";
	if (!is_right(get_or_make(thing, ID_B, GFP_ATOMIC), thing, ID_B))
		return "no second variable";
	klp_shadow_free(thing, ID_A, dtor);
	if (klp_shadow_get(thing, ID_A) || !klp_shadow_get(thing, ID_B))
		return "the wrong variable is freed";
	klp_shadow_free_all(ID_B, dtor);
	return klp_shadow_get(thing, ID_B) ? "the second variable is not freed" : NULL;
}

static int test_locked(void)
{
	static DEFINE_SPINLOCK(lock);
	const char *what = NULL;
	unsigned long flags;
	int i;

	for (i = 0; !what && i < TICKS; i++) {
		spin_lock_irqsave(&lock, flags);
		what = use_atomically(&things[i]);
		spin_unlock_irqrestore(&lock, flags);
	}
	if (what)
		return bad(what);
	return all_had(things, TICKS, 2, 2) ? 0 : bad("constructed and destroyed once");
}

static struct {
	struct hrtimer timer;
	int ticks;
	const char *what;
	struct completion done;
} irq;

static enum hrtimer_restart irq_tick(struct hrtimer *timer)
{
	if (!in_hardirq() && !IS_ENABLED(CONFIG_PREEMPT_RT))
		irq.what = "the timer is no interrupt";
	else
		irq.what = use_atomically(&things[irq.ticks]);
	if (irq.what || ++irq.ticks == TICKS) {
		complete(&irq.done);
		return HRTIMER_NORESTART;
	}
	hrtimer_forward_now(timer, 500 * NSEC_PER_USEC);
	return HRTIMER_RESTART;
}

/* The interrupt comes while tasks do the same to other objects. */
static int irq_worker(unsigned int nr)
{
	struct thing *thing = &things[TICKS + nr];
	int rounds = 0;

	while (!completion_done(&irq.done)) {
		/* Not ID_B, all of which the interrupt frees. */
		if (!get_or_make(thing, ID_A, GFP_KERNEL))
			return bad("no variable in a task");
		klp_shadow_free(thing, ID_A, dtor);
		if (klp_shadow_get(thing, ID_A))
			return bad("a task finds what it has freed");
		if (++rounds % 64 == 0)
			cond_resched();
	}
	return all_had(thing, 1, rounds, rounds) ? 0 : bad("constructed and destroyed once");
}

static int test_irq(void)
{
	int ret;

	init_completion(&irq.done);
	hrtimer_setup(&irq.timer, irq_tick, CLOCK_MONOTONIC, HRTIMER_MODE_REL);
	hrtimer_start(&irq.timer, NSEC_PER_MSEC, HRTIMER_MODE_REL);
	ret = run_workers(2, irq_worker);
	if (ret)
		complete_all(&irq.done);
	wait_for_completion(&irq.done);
	hrtimer_cancel(&irq.timer);
	if (ret)
		return ret;
	if (irq.what)
		return bad(irq.what);
	return all_had(things, TICKS, 2, 2) ? 0 : bad("constructed and destroyed once");
}

static const struct {
	const char *name;
	int (*fn)(void);
} tests[] = {
	{ "many", test_many },
	{ "ctor_fails", test_ctor_fails },
	{ "existing", test_existing },
	{ "missing", test_missing },
	{ "keys", test_keys },
	{ "sizes", test_sizes },
	{ "race", test_race },
	{ "churn", test_churn },
	{ "locked", test_locked },
	{ "irq", test_irq },
};

static int test_klp_core_shadow_init(void)
{
	int i, ret;

	for (i = 0; i < ARRAY_SIZE(tests); i++)
		if (!strcmp(test, tests[i].name))
			break;
	if (i == ARRAY_SIZE(tests))
		return bad("there is no such test");

	ret = tests[i].fn();
	if (!ret && atomic_read(&wrong_ctors))
		ret = bad("a constructor got memory that is not zeroed");
	if (!ret && atomic_read(&wrong_dtors))
		ret = bad("a destructor got the wrong object or data");
	if (!ret && (klp_shadow_get(&things[0], ID_NONE) || klp_shadow_get(&things[0], ID_A)))
		ret = bad("something is left");

	/* Of a test that failed. */
	klp_shadow_free_all(ID_A, NULL);
	klp_shadow_free_all(ID_B, NULL);
	if (!ret)
		pr_info("%s: ok\n", test);
	return ret;
}

static void test_klp_core_shadow_exit(void)
{
}

module_init(test_klp_core_shadow_init);
module_exit(test_klp_core_shadow_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Livepatch test: shadow variables");
