// SPDX-License-Identifier: GPL-2.0
/*
 * The container of the shadow variables: a hash table for readers and a list
 * for those who want all of them. What works on such lists are macros, and the
 * messages need %p.
 *
 * Finding a variable takes RCU, everything that changes the container is called
 * under the lock of shadow.rs.
 *
 * The table is sized for the machine and never changes: one that grows would
 * make readers wait for the one who moves its entries, who may be what an NMI
 * has interrupted.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bits.h>
#include <linux/bug.h>
#include <linux/hash.h>
#include <linux/init.h>
#include <linux/list.h>
#include <linux/memblock.h>
#include <linux/printk.h>
#include <linux/rculist.h>
#include <linux/slab.h>
#include "shim.h"

/* One bucket, a pointer, for so many bytes of memory: 1 << KLP_SHADOW_SCALE. */
#define KLP_SHADOW_SCALE	20
#define KLP_SHADOW_MIN		BIT(12)
#define KLP_SHADOW_MAX		BIT(20)

static struct hlist_head *klp_shadow_table __ro_after_init;
static unsigned int klp_shadow_bits __ro_after_init;
static LIST_HEAD(klp_shadow_list);

/* What the user gets begins where the header ends, aligned as by kmalloc(). */
static_assert(offsetof(struct klp_shadow, data) == sizeof(struct klp_shadow));
static_assert(sizeof(struct klp_shadow) % (2 * sizeof(long)) == 0);

void __init klp_shim_shadow_init(void)
{
	klp_shadow_table = alloc_large_system_hash("Livepatch shadow variable",
						   sizeof(*klp_shadow_table), 0,
						   KLP_SHADOW_SCALE, HASH_ZERO,
						   &klp_shadow_bits, NULL,
						   KLP_SHADOW_MIN,
						   KLP_SHADOW_MAX);
}

static struct hlist_head *klp_shadow_bucket(const struct klp_shadow_key *key)
{
	return &klp_shadow_table[hash_ptr(key->obj, klp_shadow_bits)];
}

struct klp_shadow *klp_shim_shadow_find(const struct klp_shadow_key *key)
{
	struct klp_shadow *shadow;

	guard(rcu)();
	hlist_for_each_entry_rcu(shadow, klp_shadow_bucket(key), node) {
		if (shadow->key.obj == key->obj && shadow->key.id == key->id)
			return shadow;
	}

	return NULL;
}

void klp_shim_shadow_insert(struct klp_shadow *shadow)
{
	hlist_add_head_rcu(&shadow->node, klp_shadow_bucket(&shadow->key));
	list_add_tail(&shadow->all, &klp_shadow_list);
}

void klp_shim_shadow_remove(struct klp_shadow *shadow)
{
	hlist_del_rcu(&shadow->node);
	list_del(&shadow->all);
}

/* The variable after @shadow, the first one after NULL. */
struct klp_shadow *klp_shim_shadow_next(struct klp_shadow *shadow)
{
	if (!shadow)
		return list_first_entry_or_null(&klp_shadow_list,
						struct klp_shadow, all);
	if (list_is_last(&shadow->all, &klp_shadow_list))
		return NULL;

	return list_next_entry(shadow, all);
}

struct klp_shadow *klp_shim_shadow_alloc(size_t size, gfp_t gfp)
{
	return kzalloc(size_add(sizeof(struct klp_shadow), size), gfp);
}

void klp_shim_shadow_free(struct klp_shadow *shadow)
{
	kfree(shadow);
}

void klp_shim_shadow_free_rcu(struct klp_shadow *shadow)
{
	kfree_rcu(shadow, rcu);
}

void klp_shim_shadow_duplicate(const struct klp_shadow_key *key)
{
	WARN(1, "Duplicate shadow variable <%p, %lx>\n", key->obj, key->id);
}

void klp_shim_shadow_failed(const struct klp_shadow_key *key, int err)
{
	pr_err("Failed to construct shadow variable <%p, %lx> (%d)\n",
	       key->obj, key->id, err);
}
