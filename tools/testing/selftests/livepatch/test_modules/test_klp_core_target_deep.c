// SPDX-License-Identifier: GPL-2.0
/*
 * Deep stacks, for the test-core-* livepatches.
 *
 * /sys/kernel/debug/test_klp_core/
 *	below, levels, above	numbers of stack frames
 *	deep			reading calls through as many frames of
 *				deep_frame() as "below" says, then "levels" of
 *				core_target_deep(), then "above" of deep_frame();
 *				sleeps there until "release" is written; then
 *				shows the sums of what core_target_deep() and
 *				core_target_version() have answered on the way
 *				back
 */

#include <linux/compiler.h>
#include <linux/debugfs.h>
#include <linux/seq_file.h>
#include "test_klp_core.h"
#include "test_klp_core_target.h"

static int original_version;

static u32 below;
static u32 levels;
static u32 above;

/* The function to be patched. */

static noinline void core_target_deep(struct core_deep *deep)
{
	deep->next(deep);
	deep->answer += READ_ONCE(original_version);
	deep->leaf_answer += deep->leaf();
}

/* Nobody patches this one. */
static noinline void deep_frame(struct core_deep *deep)
{
	deep->next(deep);
	/* The call above is not the last thing to do: its frame stays. */
	deep->answer += READ_ONCE(original_version);
}

static void (*deep_fn)(struct core_deep *deep) = core_target_deep;
static void (*frame_fn)(struct core_deep *deep) = deep_frame;

static void deep_next(struct core_deep *deep)
{
	if (deep->below) {
		deep->below--;
		READ_ONCE(frame_fn)(deep);
	} else if (deep->levels) {
		deep->levels--;
		READ_ONCE(deep_fn)(deep);
	} else if (deep->above) {
		deep->above--;
		READ_ONCE(frame_fn)(deep);
	} else {
		sleep_until_release();
	}
}

static int deep_show(struct seq_file *m, void *v)
{
	struct core_deep deep = {
		.next = deep_next,
		.leaf = READ_ONCE(version_fn),
		.below = READ_ONCE(below),
		.levels = READ_ONCE(levels),
		.above = READ_ONCE(above),
	};

	/* That much fits on the smallest stack. */
	if (deep.below + deep.levels + deep.above > 150)
		return -EINVAL;

	deep_next(&deep);
	seq_printf(m, "%d %d\n", deep.answer, deep.leaf_answer);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(deep);

void core_target_deep_init(struct dentry *dir)
{
	debugfs_create_u32("below", 0600, dir, &below);
	debugfs_create_u32("levels", 0600, dir, &levels);
	debugfs_create_u32("above", 0600, dir, &above);
	debugfs_create_file("deep", 0444, dir, NULL, &deep_fops);
}
