// SPDX-License-Identifier: GPL-2.0

#define BUSY_VERSION	2
#define BUSY_REPLACE	true
#define BUSY_NAME	"core_target_alias"
#include "test_klp_core_busy.h"

MODULE_DESCRIPTION("Livepatch test: a function by its second name");
