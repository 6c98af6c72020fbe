// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The functions of rust_livepatch_shadow_mod that can be patched: C, because the
 * function tracer does not know functions in Rust.
 *
 * None of them ends with a call: while the Rust function runs, the C function
 * must be on the stack, where a livepatch looks for it.
 */

#include <linux/compiler.h>
#include <linux/types.h>

struct dummy;

struct dummy *rust_dummy_alloc(void);
void rust_dummy_free(struct dummy *d);
bool rust_dummy_check(const struct dummy *d, unsigned long jiffies);

struct dummy *dummy_alloc(void);
void dummy_free(struct dummy *d);
bool dummy_check(const struct dummy *d, unsigned long jiffies);

struct dummy *dummy_alloc(void)
{
	struct dummy *d = rust_dummy_alloc();

	barrier();
	return d;
}

void dummy_free(struct dummy *d)
{
	rust_dummy_free(d);
	barrier();
}

bool dummy_check(const struct dummy *d, unsigned long jiffies)
{
	bool expired = rust_dummy_check(d, jiffies);

	barrier();
	return expired;
}
