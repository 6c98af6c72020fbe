// SPDX-License-Identifier: GPL-2.0
/* A module that no patch waits for. */

#include <linux/module.h>

MODULE_DESCRIPTION("A module with nothing in it");
MODULE_LICENSE("GPL");
