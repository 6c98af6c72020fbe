// SPDX-License-Identifier: GPL-2.0

#define BUSY_VERSION	1
#define BUSY_NAME	"core_target_name"
#include "test_klp_core_busy.h"

MODULE_DESCRIPTION("Livepatch test: a function by its first name");
