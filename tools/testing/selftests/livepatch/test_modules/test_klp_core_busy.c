// SPDX-License-Identifier: GPL-2.0

#include "test_klp_core_busy.h"

MODULE_DESCRIPTION("Livepatch test: a transition that waits");
