// SPDX-License-Identifier: GPL-2.0
/*
 * Lets the KUnit tests look at sysfs before user space has mounted it.
 */

#include <linux/err.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mount.h>
#include <linux/string.h>
#include "tests.h"

struct vfsmount *klp_test_sysfs_mount(void)
{
	struct file_system_type *type;
	struct vfsmount *mnt;

	type = get_fs_type("sysfs");
	if (!type)
		return ERR_PTR(-ENODEV);

	mnt = kern_mount(type);
	put_filesystem(type);
	return mnt;
}

void klp_test_sysfs_unmount(struct vfsmount *mnt)
{
	kern_unmount(mnt);
}

struct klp_test_listing {
	struct dir_context ctx;
	void (*fn)(void *data, const char *name, size_t len, bool is_directory);
	void *data;
};

static bool klp_test_entry(struct dir_context *ctx, const char *name, int len,
			   loff_t pos, u64 ino, unsigned int type)
{
	struct klp_test_listing *listing;

	listing = container_of(ctx, struct klp_test_listing, ctx);
	if (!name_is_dot_dotdot(name, len))
		listing->fn(listing->data, name, len, type == DT_DIR);
	return true;
}

int klp_test_sysfs_list(struct vfsmount *mnt, const char *path,
			void (*fn)(void *data, const char *name, size_t len,
				   bool is_directory),
			void *data)
{
	struct klp_test_listing listing = {
		.ctx.actor = klp_test_entry,
		.fn = fn,
		.data = data,
	};
	struct file *file;
	int ret;

	file = file_open_root_mnt(mnt, path, O_RDONLY | O_DIRECTORY, 0);
	if (IS_ERR(file))
		return PTR_ERR(file);

	ret = iterate_dir(file, &listing.ctx);
	/* Not later: an open file would keep what it belongs to. */
	__fput_sync(file);
	return ret;
}

ssize_t klp_test_sysfs_read(struct vfsmount *mnt, const char *path, char *buf,
			    size_t size)
{
	struct file *file;
	loff_t pos = 0;
	ssize_t ret;

	file = file_open_root_mnt(mnt, path, O_RDONLY, 0);
	if (IS_ERR(file))
		return PTR_ERR(file);

	ret = kernel_read(file, buf, size, &pos);
	__fput_sync(file);
	return ret;
}

ssize_t klp_test_sysfs_write(struct vfsmount *mnt, const char *path,
			     const char *buf, size_t size)
{
	struct file *file;
	loff_t pos = 0;
	ssize_t ret;

	file = file_open_root_mnt(mnt, path, O_WRONLY, 0);
	if (IS_ERR(file))
		return PTR_ERR(file);

	ret = kernel_write(file, buf, size, &pos);
	__fput_sync(file);
	return ret;
}
