// SPDX-License-Identifier: GPL-2.0

#define STACK_VERSION	2
#include "test_klp_core_stack.h"
