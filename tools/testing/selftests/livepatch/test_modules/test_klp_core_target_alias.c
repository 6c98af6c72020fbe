// SPDX-License-Identifier: GPL-2.0

#include <linux/compiler.h>
#include <linux/debugfs.h>
#include <linux/seq_file.h>
#include "test_klp_core_target.h"

static int alias_version;

/* One function with two names. Both are global: the compiler keeps one of two local ones. */
noinline int core_target_name(void)
{
	return READ_ONCE(alias_version);
}

int core_target_alias(void)
	__alias(core_target_name);

static int (*name_fn)(void) = core_target_name;

static int name_show(struct seq_file *m, void *v)
{
	seq_printf(m, "%d\n", READ_ONCE(name_fn)());
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(name);

void core_target_alias_init(struct dentry *dir)
{
	debugfs_create_file("name", 0444, dir, NULL, &name_fops);
}
