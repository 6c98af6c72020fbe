// SPDX-License-Identifier: GPL-2.0
/*
 * A registered livepatch whose module does it wrong; "kind" says how. Prints
 * what the operations returned.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/compiler.h>
#include <linux/kernel.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/string.h>
#include "test_klp_core.h"

static char *kind = "";
module_param(kind, charp, 0444);
MODULE_PARM_DESC(kind, "what is wrong");

static char *symbol = "core_target_version";
module_param(symbol, charp, 0444);
MODULE_PARM_DESC(symbol, "the function to be patched");

static int misuse_version = 1;

static int misuse_core_target_version(void)
{
	return READ_ONCE(misuse_version);
}

static struct klp_func funcs[2];
static struct klp_object objs[2];

static struct klp_patch patch = {
	.mod = THIS_MODULE,
	.objs = objs,
};

/* The same module, and so the same name. */
static struct klp_patch second_patch = {
	.mod = THIS_MODULE,
	.objs = objs,
};

#define say(name, p) ({						\
	int ret_ = name(p);					\
								\
	pr_info(#name "() returned %d\n", ret_);		\
	ret_;							\
})

static int misuse_pre_patch(struct klp_object *obj)
{
	pr_info("pre_patch\n");
	say(klp_register_patch, &patch);
	say(klp_enable_patch, &patch);
	say(klp_disable_patch, &patch);
	say(klp_unregister_patch, &patch);
	return !strcmp(kind, "veto") ? -EDOM : 0;
}

static void misuse_post_unpatch(struct klp_object *obj)
{
	pr_info("post_unpatch\n");
	say(klp_unregister_patch, &patch);
}

static int misuse_init(void)
{
	int ret;

	objs[0].name = CORE_TARGET;
	objs[0].funcs = funcs;
	funcs[0].old_name = symbol;
	funcs[0].new_func = misuse_core_target_version;

	if (!strcmp(kind, "callback") || !strcmp(kind, "veto")) {
		objs[0].callbacks.pre_patch = misuse_pre_patch;
		objs[0].callbacks.post_unpatch = misuse_post_unpatch;
	}

	if (!strcmp(kind, "unknown")) {
		say(klp_disable_patch, &patch);
		say(klp_unregister_patch, &patch);
		say(klp_register_patch, NULL);
		say(klp_disable_patch, NULL);
		say(klp_unregister_patch, NULL);
		return -ENOSPC;
	}
	if (!strcmp(kind, "one-shot fails")) {
		ret = say(klp_enable_patch, &patch);
		return ret ?: -ENOSPC;
	}

	ret = say(klp_register_patch, &patch);
	if (ret)
		return ret;

	if (!strcmp(kind, "twice")) {
		say(klp_register_patch, &patch);
		say(klp_register_patch, &second_patch);
		say(klp_enable_patch, &second_patch);
		say(klp_disable_patch, &second_patch);
		say(klp_unregister_patch, &second_patch);
	} else if (!strcmp(kind, "fails")) {
		return -ENOSPC;
	} else if (!strcmp(kind, "enabled fails")) {
		ret = say(klp_enable_patch, &patch);
		return ret ?: -ENOSPC;
	}
	return 0;
}

static void misuse_exit(void)
{
	if (strcmp(kind, "forgets"))
		say(klp_unregister_patch, &patch);
}

module_init(misuse_init);
module_exit(misuse_exit);
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
MODULE_DESCRIPTION("Livepatch test: registered livepatches that do it wrong");
