// SPDX-License-Identifier: GPL-2.0

#define INIT_REPLACE
#include "test_klp_core_init_patch.h"

MODULE_DESCRIPTION("Livepatch test: in place of one for the init section");
