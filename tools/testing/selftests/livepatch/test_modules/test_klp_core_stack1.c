// SPDX-License-Identifier: GPL-2.0

#define STACK_VERSION	1
#define STACK_VERSION2	10
#include "test_klp_core_stack.h"
