// SPDX-License-Identifier: GPL-2.0

#define OP_VERSION	9
#include "test_klp_core_op.h"
