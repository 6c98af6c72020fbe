/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _TEST_KLP_CORE_TARGET_H
#define _TEST_KLP_CORE_TARGET_H

#include <linux/dcache.h>

int core_target_name(void);
int core_target_alias(void);

extern int (*version_fn)(void);
extern int (*core_target_dup_second)(void);

void sleep_until_release(void);
void core_target_alias_init(struct dentry *dir);
void core_target_deep_init(struct dentry *dir);

void core_target_irq_init(struct dentry *dir, int (**version)(void),
			  int (**busy)(void (*sleep)(void)));
void core_target_irq_exit(void);

#endif /* _TEST_KLP_CORE_TARGET_H */
