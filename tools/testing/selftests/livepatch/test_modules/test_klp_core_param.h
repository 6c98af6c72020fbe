/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A livepatch that is put together by module parameters. There are several
 * modules of it, so that one can replace or follow another.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/compiler.h>
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sched/task.h>
#include <linux/seq_file.h>
#include <linux/string.h>
#include "test_klp_core.h"

#define OTHER_TARGET	"test_klp_mod_target"
#define MAX_FUNCS	8
#define STATE_ID	1
#define SHADOW_ID	1

static bool registered;
module_param(registered, bool, 0444);
MODULE_PARM_DESC(registered, "register the livepatch, do not enable it");

static int version = 1;
module_param(version, int, 0444);
MODULE_PARM_DESC(version, "what the replaced functions answer");

static char *functions[MAX_FUNCS];
static unsigned int nr_functions;
module_param_array(functions, charp, &nr_functions, 0444);
MODULE_PARM_DESC(functions, "what to replace, by the names in known_funcs[]");

static unsigned long sympos;
module_param(sympos, ulong, 0444);
MODULE_PARM_DESC(sympos, "position of those symbols which are unique: 0 or 1");

static bool replace;
module_param(replace, bool, 0444);
MODULE_PARM_DESC(replace, "replace all other livepatches");

static unsigned int state;
module_param(state, uint, 0444);
MODULE_PARM_DESC(state, "version of the system state, 0 for none");

static int fail_nth;
module_param(fail_nth, int, 0644);
MODULE_PARM_DESC(fail_nth, "which memory allocation is to fail; then whether it was reached: 0");

static bool callbacks;
module_param(callbacks, bool, 0444);
MODULE_PARM_DESC(callbacks, "print a line in each callback");

static char pre_patch_fails[MODULE_NAME_LEN];
module_param_string(pre_patch_fails, pre_patch_fails, sizeof(pre_patch_fails), 0644);
MODULE_PARM_DESC(pre_patch_fails, "object whose pre-patch callback fails");

static bool free_shadow;
module_param(free_shadow, bool, 0444);
MODULE_PARM_DESC(free_shadow, "free the shadow variable in post-unpatch callbacks");

static int param_answer(void)
{
	return READ_ONCE(version);
}

static int param_busy(void (*sleep)(void))
{
	sleep();
	return READ_ONCE(version);
}

static int param_show(struct seq_file *m, void *v)
{
	seq_printf(m, "%s: version %d\n", THIS_MODULE->name, READ_ONCE(version));
	return 0;
}

static int shadow_ctor(void *obj, void *data, void *ctor_data)
{
	*(int *)data = 100 * READ_ONCE(version);
	return 0;
}

static void shadow_dtor(void *obj, void *data)
{
	pr_info("shadow variable freed at %d\n", *(int *)data);
}

/*
 * Counts its calls in a shadow variable, on from a number that says by whom it
 * was made. What it is attached to outlives all livepatches.
 */
static int param_count(void)
{
	int *count = klp_shadow_get(&init_task, SHADOW_ID);

	if (!count)
		count = klp_shadow_get_or_alloc(&init_task, SHADOW_ID,
						sizeof(*count), GFP_KERNEL,
						shadow_ctor, NULL);
	return count ? ++*count : -ENOMEM;
}

/* The objects, in the order in which the livepatch has them. */
enum { VMLINUX, TARGET, OTHER, NR_OBJECTS };

static const char * const object_names[NR_OBJECTS] = {
	NULL, CORE_TARGET, OTHER_TARGET
};

struct known_func {
	const char *name;
	unsigned int object;
	const char *old_name;
	void *new_func;
	unsigned long sympos;
};

static const struct known_func known_funcs[] = {
	{ "cmdline", VMLINUX, "cmdline_proc_show", param_show },
	{ "version", TARGET, "core_target_version", param_answer },
	{ "version2", TARGET, "core_target_version2", param_answer },
	{ "count", TARGET, "core_target_version2", param_count },
	{ "busy", TARGET, "core_target_busy", param_busy },
	{ "dup1", TARGET, "core_target_dup", param_answer, 1 },
	{ "dup2", TARGET, "core_target_dup", param_answer, 2 },
	/* ftrace cannot attach to this one, and that one does not exist */
	{ "notrace", TARGET, "core_target_notrace", param_answer },
	{ "unknown", TARGET, "core_target_unknown", param_answer },
	{ "show", OTHER, "test_klp_mod_target_show", param_show },
};

static struct klp_func funcs[NR_OBJECTS][MAX_FUNCS + 1];
static struct klp_object objs[NR_OBJECTS + 1];
static struct klp_state states[2];

static struct klp_patch patch = {
	.mod = THIS_MODULE,
	.objs = objs,
};

static const char *label(struct klp_object *obj)
{
	return obj->name ?: "vmlinux";
}

static int pre_patch(struct klp_object *obj)
{
	struct klp_state *prev;

	pr_info("%s: %s\n", __func__, label(obj));
	if (state) {
		prev = klp_get_prev_state(STATE_ID);
		pr_info("state %u, before %u\n", state, prev ? prev->version : 0);
	}
	return sysfs_streq(pre_patch_fails, label(obj)) ? -ENODEV : 0;
}

static void post_patch(struct klp_object *obj)
{
	pr_info("%s: %s\n", __func__, label(obj));
}

static void pre_unpatch(struct klp_object *obj)
{
	pr_info("%s: %s\n", __func__, label(obj));
}

static void post_unpatch(struct klp_object *obj)
{
	pr_info("%s: %s\n", __func__, label(obj));
	if (free_shadow)
		klp_shadow_free_all(SHADOW_ID, shadow_dtor);
}

/* Adds those of the functions which are in this object. Returns how many. */
static unsigned int add_funcs(struct klp_func *func, unsigned int object)
{
	const struct known_func *known;
	unsigned int i, j, nr = 0;

	for (i = 0; i < nr_functions; i++) {
		for (j = 0; j < ARRAY_SIZE(known_funcs); j++) {
			known = &known_funcs[j];
			if (known->object != object || strcmp(known->name, functions[i]))
				continue;
			func[nr].old_name = known->old_name;
			func[nr].new_func = known->new_func;
			func[nr].old_sympos = known->sympos ?: sympos;
			nr++;
		}
	}
	return nr;
}

static int init_patch(void)
{
	if (registered)
		return core_register_patch(&patch);

	return klp_enable_patch(&patch);
}

/* Without the piece of memory that fail_nth says. */
static int init_patch_failing(void)
{
	int ret;

#ifdef CONFIG_FAULT_INJECTION
	WRITE_ONCE(current->fail_nth, fail_nth);
#endif
	ret = init_patch();
#ifdef CONFIG_FAULT_INJECTION
	fail_nth = READ_ONCE(current->fail_nth);
	WRITE_ONCE(current->fail_nth, 0);
#endif
	return ret;
}

static int test_klp_core_param_init(void)
{
	struct klp_object *obj = objs;
	unsigned int i, nr, nr_found = 0;

	for (i = 0; i < NR_OBJECTS; i++) {
		nr = add_funcs(funcs[i], i);
		if (!nr)
			continue;
		nr_found += nr;
		obj->name = object_names[i];
		obj->funcs = funcs[i];
		if (callbacks) {
			obj->callbacks.pre_patch = pre_patch;
			obj->callbacks.post_patch = post_patch;
			obj->callbacks.pre_unpatch = pre_unpatch;
			obj->callbacks.post_unpatch = post_unpatch;
		}
		obj++;
	}
	if (nr_found != nr_functions) {
		pr_err("no such function\n");
		return -EPROTO;
	}

	if (state) {
		states[0].id = STATE_ID;
		states[0].version = state;
		patch.states = states;
	}
	patch.replace = replace;
	return init_patch_failing();
}

static void test_klp_core_param_exit(void)
{
	if (registered)
		core_unregister_patch(&patch);
}

module_init(test_klp_core_param_init);
module_exit(test_klp_core_param_exit);
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
MODULE_DESCRIPTION("Livepatch test: a livepatch made of parameters");
