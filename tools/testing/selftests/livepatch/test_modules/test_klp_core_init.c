// SPDX-License-Identifier: GPL-2.0
/*
 * A module with a function in its init section, and one elsewhere.
 *
 * Parameters:
 *	fail	the init function fails
 *	once	what the first function has answered, when it was there
 *	again	what the second one answers
 *	hold	the module is live, and its init section stays, until this is
 *		changed to 0
 */

#include <linux/async.h>
#include <linux/compiler.h>
#include <linux/delay.h>
#include <linux/errno.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/sysfs.h>

static int once_version = 1;
static int again_version = 2;

static bool fail;
module_param(fail, bool, 0444);

static int once;
module_param(once, int, 0444);

static bool hold;
module_param(hold, bool, 0644);

static noinline int __init core_target_init_once(void)
{
	return READ_ONCE(once_version);
}

static noinline int core_target_init_again(void)
{
	return READ_ONCE(again_version);
}

static int (*again_fn)(void) = core_target_init_again;

static int get_again(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%d\n", READ_ONCE(again_fn)());
}

static const struct kernel_param_ops again_ops = {
	.get = get_again,
};
module_param_cb(again, &again_ops, NULL, 0444);

/* The loader waits for this before it frees the init section. */
static void wait_for_release(void *data, async_cookie_t cookie)
{
	while (READ_ONCE(hold))
		fsleep(USEC_PER_MSEC);
}

static int __init test_klp_core_init_init(void)
{
	int (*once_fn)(void) = core_target_init_once;

	OPTIMIZER_HIDE_VAR(once_fn);
	once = once_fn();
	if (hold)
		async_schedule(wait_for_release, NULL);
	return fail ? -EIO : 0;
}

static void test_klp_core_init_exit(void)
{
}

module_init(test_klp_core_init_init);
module_exit(test_klp_core_init_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Livepatch test: a function in the init section");
