/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _TEST_KLP_CORE_TARGET_H
#define _TEST_KLP_CORE_TARGET_H

extern int (*core_target_dup_second)(void);

#endif /* _TEST_KLP_CORE_TARGET_H */
