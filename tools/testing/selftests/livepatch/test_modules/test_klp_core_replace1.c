// SPDX-License-Identifier: GPL-2.0

#define BUSY_VERSION	1
#define BUSY_REPLACE	true
#include "test_klp_core_busy.h"

MODULE_DESCRIPTION("Livepatch test: atomic replace, version 1");
