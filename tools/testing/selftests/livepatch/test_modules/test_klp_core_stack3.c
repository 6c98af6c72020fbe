// SPDX-License-Identifier: GPL-2.0

#define STACK_VERSION	3
#define STACK_VERSION2	30
#include "test_klp_core_stack.h"
