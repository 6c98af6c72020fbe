// SPDX-License-Identifier: GPL-2.0

#define OP_VERSION	6
#define OP_NOT_BUSY
#include "test_klp_core_op.h"
