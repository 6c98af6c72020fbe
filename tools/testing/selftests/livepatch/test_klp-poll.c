// SPDX-License-Identifier: GPL-2.0
/*
 * Tell when a file of sysfs says something else.
 *
 *	test_klp-poll FILE
 *
 * Prints what FILE says, and then a line each time that poll() says that it
 * has changed, until it cannot be read any more or is terminated. Never looks
 * by itself.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct pollfd pollfd = { .events = POLLPRI };
	char text[64];
	ssize_t len;

	if (argc != 2) {
		fprintf(stderr, "usage: %s FILE\n", argv[0]);
		return 2;
	}
	pollfd.fd = open(argv[1], O_RDONLY);
	if (pollfd.fd < 0) {
		fprintf(stderr, "%s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	setlinebuf(stdout);
	while ((len = pread(pollfd.fd, text, sizeof(text) - 1, 0)) >= 0) {
		text[len] = '\0';
		fputs(text, stdout);
		if (poll(&pollfd, 1, -1) < 0) {
			perror("poll");
			return 1;
		}
	}

	return 0;
}
