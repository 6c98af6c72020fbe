/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What test_klp_core_many and the livepatch for it agree on: the numbers of
 * the functions, which are octal.
 */
#ifndef _TEST_KLP_CORE_MANY_H
#define _TEST_KLP_CORE_MANY_H

#define MANY		"test_klp_core_many"
#define MANY_FUNCS	4096
/* Of so many functions the sizes are shown, if the livepatch has that many. */
#define MANY_SHOWN	64

#define MANY_8(do, n)							\
	do(n##0) do(n##1) do(n##2) do(n##3) do(n##4) do(n##5) do(n##6) do(n##7)
#define MANY_64(do, n)							\
	MANY_8(do, n##0) MANY_8(do, n##1) MANY_8(do, n##2) MANY_8(do, n##3) \
	MANY_8(do, n##4) MANY_8(do, n##5) MANY_8(do, n##6) MANY_8(do, n##7)

#define MANY_512(do, n)							\
	MANY_64(do, n##0) MANY_64(do, n##1) MANY_64(do, n##2) MANY_64(do, n##3) \
	MANY_64(do, n##4) MANY_64(do, n##5) MANY_64(do, n##6) MANY_64(do, n##7)

/* do(00000) do(00001) ... do(07777) */
#define MANY_ALL(do)							\
	MANY_512(do, 00) MANY_512(do, 01) MANY_512(do, 02) MANY_512(do, 03) \
	MANY_512(do, 04) MANY_512(do, 05) MANY_512(do, 06) MANY_512(do, 07)

#endif /* _TEST_KLP_CORE_MANY_H */
