// SPDX-License-Identifier: GPL-2.0

#define OP_VERSION	7
#define OP_REPLACE	true
#include "test_klp_core_op.h"
