// SPDX-License-Identifier: GPL-2.0
/*
 * The container of the shadow variables: a hash table for readers and a list
 * for those who want all of them. The operations of rhashtable and of lists are
 * inline functions, and the messages need %p.
 *
 * Finding a variable takes RCU, everything that changes the container is called
 * under the lock of shadow.rs.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bug.h>
#include <linux/list.h>
#include <linux/printk.h>
#include <linux/rhashtable.h>
#include <linux/slab.h>
#include "shim.h"

static struct rhashtable klp_shadow_table;
static LIST_HEAD(klp_shadow_list);

static const struct rhashtable_params klp_shadow_params = {
	.key_len		= sizeof_field(struct klp_shadow, key),
	.key_offset		= offsetof(struct klp_shadow, key),
	.head_offset		= offsetof(struct klp_shadow, node),
	.automatic_shrinking	= true,
	/* An unlucky chain is no reason to refuse a variable. */
	.insecure_elasticity	= true,
};

int klp_shim_shadow_init(void)
{
	return rhashtable_init(&klp_shadow_table, &klp_shadow_params);
}

struct klp_shadow *klp_shim_shadow_find(const struct klp_shadow_key *key)
{
	guard(rcu)();
	return rhashtable_lookup(&klp_shadow_table, key, klp_shadow_params);
}

int klp_shim_shadow_insert(struct klp_shadow *shadow)
{
	int ret;

	ret = rhashtable_insert_fast(&klp_shadow_table, &shadow->node,
				     klp_shadow_params);
	if (!ret)
		list_add_tail(&shadow->all, &klp_shadow_list);

	return ret;
}

void klp_shim_shadow_remove(struct klp_shadow *shadow)
{
	WARN_ON(rhashtable_remove_fast(&klp_shadow_table, &shadow->node,
				       klp_shadow_params));
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
