// SPDX-License-Identifier: GPL-2.0

#include "test_klp_core_init_patch.h"

MODULE_DESCRIPTION("Livepatch test: for a function in the init section");
