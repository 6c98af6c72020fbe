/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the KUnit tests of the Rust livepatch core need in C: functions in Rust
 * cannot be traced, and so not be patched.
 *
 * bindgen reads this header (rust/bindings/bindings_helper.h).
 */
#ifndef _LIVEPATCH_TESTS_H
#define _LIVEPATCH_TESTS_H

#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/types.h>

struct vfsmount;

typedef int (*klp_test_func_t)(void);

/*
 * targets.c: the functions that are patched. The original returns 0, the
 * replacement <name>_v<number> returns that number.
 */
int klp_test_one(void);
int klp_test_one_v1(void);
int klp_test_one_v2(void);
int klp_test_one_v3(void);
int klp_test_two(void);
int klp_test_two_v1(void);
int klp_test_two_v2(void);
int klp_test_twin_v1(void);
int klp_test_twin_v2(void);
int klp_test_untraced(void);

/* Two static functions named klp_test_twin; the second one in twin.c. */
klp_test_func_t klp_test_first_twin(void);
klp_test_func_t klp_test_second_twin(void);

/*
 * A function that sleeps, and so do its replacements, until klp_test_wake();
 * klp_test_sleeping() waits until somebody is in there.
 */
int klp_test_sleep(void);
int klp_test_sleep_v1(void);
bool klp_test_sleeping(void);
void klp_test_wake(void);

/* Livepatch modules that only the tests know. */
enum { KLP_TEST_MODULES = 4 };

struct module *klp_test_module(unsigned int nr);

/* What is at the call site of a function: a change says that it is attached. */
unsigned long klp_test_code_at(unsigned long ip);

/* Could tasklist_lock be taken for writing now? */
bool klp_test_tasklist_is_free(void);

/* Is there no task that takes part in a transition? */
bool klp_test_tasks_are_idle(void);

/* sysfs.c: sysfs as users see it, at a mount of its own. */
struct vfsmount *klp_test_sysfs_mount(void);
void klp_test_sysfs_unmount(struct vfsmount *mnt);
int klp_test_sysfs_list(struct vfsmount *mnt, const char *path,
			void (*fn)(void *data, const char *name, size_t len,
				   bool is_directory),
			void *data);
ssize_t klp_test_sysfs_read(struct vfsmount *mnt, const char *path, char *buf,
			    size_t size);
ssize_t klp_test_sysfs_write(struct vfsmount *mnt, const char *path,
			     const char *buf, size_t size);

/*
 * nomem.c: from klp_test_nomem_arm() on, @count allocations of the current task
 * fail, beginning with number @nth, counted from 1. klp_test_nomem_disarm()
 * returns how many there were.
 */
int klp_test_nomem_start(void);
void klp_test_nomem_stop(void);
void klp_test_nomem_arm(unsigned int nth, unsigned int count);
unsigned int klp_test_nomem_disarm(void);

/* attach.c: the call site of one of many functions that return 0 */
enum { KLP_TEST_MANY = 64 };

unsigned long klp_test_many(unsigned int nr);

/* What the handler finds in a table. */
struct klp_calls;
struct klp_version;

struct klp_version *klp_test_find_call(const struct klp_calls *calls,
				       unsigned long ip);

/* Another owner of one function. */
int klp_test_own(unsigned long ip);
void klp_test_disown(void);
int klp_test_lose(unsigned long ip);

/*
 * A direct caller of @count functions, which agrees to share all but @refuses.
 * klp_test_direct_stop() returns how many it was sharing and not told that this
 * is over.
 */
int klp_test_direct_start(unsigned long *ips, unsigned int count,
			  unsigned long refuses);
int klp_test_direct_be_busy(int times);
int klp_test_direct_stop(void);

/* How many ftrace_ops are registered. */
unsigned int klp_test_ftrace_ops(void);

/* The owner of a function lets it jump, or not any more, or filters it anew. */
int klp_test_owner_filter(unsigned long ip);
int klp_test_owner_jumps(unsigned long ip, unsigned long target);
int klp_test_owner_calls(unsigned long ip);

/* jumps.c: where the code at @ip jumps to, 0 if it does not */
unsigned long klp_test_jump_target(unsigned long ip);

/* A tracer of one function; klp_test_untrace() returns what it has seen. */
int klp_test_trace(unsigned long ip);
unsigned int klp_test_untrace(void);

#endif /* _LIVEPATCH_TESTS_H */
