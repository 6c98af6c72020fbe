// SPDX-License-Identifier: GPL-2.0

#define OP_VERSION	8
#define OP_REPLACE	true
#define OP_NOT_BUSY
#include "test_klp_core_op.h"
