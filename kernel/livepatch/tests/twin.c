// SPDX-License-Identifier: GPL-2.0
/*
 * A static function with the name of one in targets.c.
 */

#include "targets.h"
#include "tests.h"

static KLP_TEST_VERSION(klp_test_twin, 0)

klp_test_func_t klp_test_second_twin(void)
{
	return klp_test_twin;
}
