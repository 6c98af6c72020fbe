// SPDX-License-Identifier: GPL-2.0
/*
 * test_klp_core_busy under another name: once it was forced out, the kernel
 * never lets this module go.
 */

#include "test_klp_core_busy.h"

MODULE_DESCRIPTION("Livepatch test: a transition that is forced");
