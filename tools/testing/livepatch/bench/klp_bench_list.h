/* SPDX-License-Identifier: GPL-2.0 */
/* A file with a line 'ADDRESS FUNCTION' for each function. */
#ifndef _KLP_BENCH_LIST_H
#define _KLP_BENCH_LIST_H

#include <linux/err.h>
#include <linux/kernel.h>
#include <linux/kernel_read_file.h>
#include <linux/sizes.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

/* The text of the file, to be freed by vfree(), or an error. */
static char *klp_bench_list_read(const char *path)
{
	void *file = NULL;
	ssize_t size;
	char *text;

	size = kernel_read_file_from_path(path, 0, &file, SZ_4M, NULL, READING_UNKNOWN);
	if (size < 0)
		return ERR_PTR(size);
	text = vmalloc(size + 1);
	if (text) {
		memcpy(text, file, size);
		text[size] = '\0';
	}
	vfree(file);
	return text ?: ERR_PTR(-ENOMEM);
}

/* The next function of the @rest, in place; an error if there is none. */
static char *klp_bench_list_next(char **rest, unsigned long *address)
{
	char *name = strsep(rest, "\n");
	char *number = strsep(&name, " ");
	int ret;

	if (!name)
		return ERR_PTR(-EINVAL);
	ret = kstrtoul(number, 16, address);
	return ret ? ERR_PTR(ret) : name;
}

#endif /* _KLP_BENCH_LIST_H */
