// SPDX-License-Identifier: GPL-2.0
/*
 * Attach a BPF program to functions, until the end of the input.
 *
 *	test_klp-bpf KIND ANSWER [MODULE:]FUNCTION...
 *
 * KIND is one of
 *
 *	fentry, fexit	look at the function's entry, or at what it returns
 *	fmod_ret	return ANSWER in its place
 *	fmod_ret_pass	could do so, and does not
 *	override_return	a kprobe that makes it return ANSWER
 *
 * The first line of the output is one of
 *
 *	attached
 *	lacks WHAT	this kernel cannot do that
 *	refused WHY	it can, but not here
 *
 * Then each line of input is answered by the numbers of calls and, for fexit, by
 * what was returned last: "CALLS,CALLS... VALUE,VALUE...", in the order of the
 * functions.
 *
 * Without libbpf: the programs are a dozen instructions, and a function is found
 * by its name in the types of the kernel or of a module.
 */

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <stdnoreturn.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/bpf.h>
#include <linux/btf.h>
#include <linux/perf_event.h>

#define MAX_FUNCTIONS	3
#define KSFT_SKIP	4
#define KPROBE_TYPE	"/sys/bus/event_source/devices/kprobe/type"

/* Newer kernels have more bits of both; these were zero before. */
#define TYPE_KIND(info)	(((info) >> 24) & 0x7f)
#define TYPE_VLEN(info)	((info) & 0xffffff)

/* What the kernel says if BPF has no way to attach there. */
#ifndef ENOTSUPP
#define ENOTSUPP	524
#endif

struct kind {
	const char *name;
	enum bpf_prog_type prog_type;
	enum bpf_attach_type attach_type;
	bool sees_value;
	bool answers;
};

static const struct kind kinds[] = {
	{ "fentry", BPF_PROG_TYPE_TRACING, BPF_TRACE_FENTRY },
	{ "fexit", BPF_PROG_TYPE_TRACING, BPF_TRACE_FEXIT, .sees_value = true },
	{ "fmod_ret", BPF_PROG_TYPE_TRACING, BPF_MODIFY_RETURN, .answers = true },
	{ "fmod_ret_pass", BPF_PROG_TYPE_TRACING, BPF_MODIFY_RETURN },
	{ "override_return", BPF_PROG_TYPE_KPROBE, .answers = true },
	{ }
};

/* What the programs write, in the only element of a map. */
struct seen {
	uint64_t calls;
	uint64_t value;
};

struct types {
	int fd;
	char *data;
	const struct btf_header *header;
	const char *names;
	uint32_t names_len;
};

static char verifier_log[1 << 20];

static void say(const char *what, const char *format, va_list args)
{
	printf("%s ", what);
	vprintf(format, args);
	printf("\n");
	fflush(stdout);
}

static noreturn void lacks(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say("lacks", format, args);
	va_end(args);
	exit(KSFT_SKIP);
}

static noreturn void refused(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say("refused", format, args);
	va_end(args);
	exit(1);
}

/* Returns a file descriptor, 0, or -1 and errno. */
static int bpf(enum bpf_cmd cmd, union bpf_attr *attr)
{
	return syscall(SYS_bpf, cmd, attr, sizeof(*attr));
}

static uint64_t address(const void *pointer)
{
	return (uint64_t)(uintptr_t)pointer;
}

/* Fills in what is asked for in info. */
static int types_info(int fd, struct bpf_btf_info *info)
{
	union bpf_attr attr = { };

	attr.info.bpf_fd = fd;
	attr.info.info_len = sizeof(*info);
	attr.info.info = address(info);
	return bpf(BPF_OBJ_GET_INFO_BY_FD, &attr);
}

/* The types of the kernel, "vmlinux", or of a module. Returns a fd or -1. */
static int types_find(const char *name)
{
	union bpf_attr attr = { };
	uint32_t id = 0;

	for (;;) {
		struct bpf_btf_info info = { };
		char found[64] = "";
		int fd;

		memset(&attr, 0, sizeof(attr));
		attr.start_id = id;
		if (bpf(BPF_BTF_GET_NEXT_ID, &attr))
			return -1;
		id = attr.next_id;

		memset(&attr, 0, sizeof(attr));
		attr.btf_id = id;
		fd = bpf(BPF_BTF_GET_FD_BY_ID, &attr);
		if (fd < 0)
			continue;
		info.name = address(found);
		info.name_len = sizeof(found);
		if (!types_info(fd, &info) && info.kernel_btf && !strcmp(found, name))
			return fd;
		close(fd);
	}
}

static void types_read(const char *name, struct types *types)
{
	struct bpf_btf_info info = { };
	uint32_t size;

	types->fd = types_find(name);
	if (types->fd < 0)
		lacks("types (BTF) of %s", name);
	if (types_info(types->fd, &info))
		refused("size of the types of %s: %m", name);

	size = info.btf_size;
	types->data = malloc(size);
	if (!types->data)
		refused("no memory");
	memset(&info, 0, sizeof(info));
	info.btf = address(types->data);
	info.btf_size = size;
	if (types_info(types->fd, &info))
		refused("types of %s: %m", name);

	types->header = (const struct btf_header *)types->data;
	if (size < sizeof(*types->header) || types->header->magic != BTF_MAGIC)
		refused("types of %s: not known as such", name);
	types->names = types->data + types->header->hdr_len + types->header->str_off;
	types->names_len = types->header->str_len;
}

/* How much comes behind a type. */
static size_t type_tail(uint32_t info)
{
	size_t vlen = TYPE_VLEN(info);

	switch (TYPE_KIND(info)) {
	case BTF_KIND_INT:
	case BTF_KIND_VAR:
	case BTF_KIND_DECL_TAG:
		return sizeof(uint32_t);
	case BTF_KIND_ARRAY:
		return sizeof(struct btf_array);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		return vlen * sizeof(struct btf_member);
	case BTF_KIND_ENUM:
		return vlen * sizeof(struct btf_enum);
	case BTF_KIND_FUNC_PROTO:
		return vlen * sizeof(struct btf_param);
	case BTF_KIND_DATASEC:
		return vlen * sizeof(struct btf_var_secinfo);
	case BTF_KIND_ENUM64:
		return vlen * sizeof(struct btf_enum64);
	case BTF_KIND_PTR:
	case BTF_KIND_FWD:
	case BTF_KIND_TYPEDEF:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_CONST:
	case BTF_KIND_RESTRICT:
	case BTF_KIND_FUNC:
	case BTF_KIND_FLOAT:
	case BTF_KIND_TYPE_TAG:
		return 0;
	default:
		refused("a type of kind %u, whose size is not known", TYPE_KIND(info));
	}
}

/*
 * The names and the numbers of a module's types go on where those of the kernel
 * end: base is NULL for the kernel's own.
 */
static const char *type_name(const struct types *types, const struct types *base,
			     uint32_t offset)
{
	if (base) {
		if (offset < base->names_len)
			return base->names + offset;
		offset -= base->names_len;
	}
	return offset < types->names_len ? types->names + offset : "";
}

/*
 * Sets id to the number of this function, from first on, or without one to the
 * number after the last. Returns whether there is such a function.
 */
static bool types_walk(const struct types *types, const struct types *base,
		       const char *function, uint32_t *id)
{
	const char *at = types->data + types->header->hdr_len + types->header->type_off;
	const char *end = at + types->header->type_len;

	for (; at < end; (*id)++) {
		const struct btf_type *type = (const struct btf_type *)at;

		if (function && TYPE_KIND(type->info) == BTF_KIND_FUNC &&
		    !strcmp(type_name(types, base, type->name_off), function))
			return true;
		at += sizeof(*type) + type_tail(type->info);
	}
	return false;
}

/* What BPF_PROG_LOAD wants to know about the function. */
static void find_function(const char *module, const char *function,
			  union bpf_attr *attr)
{
	static struct types kernel;
	struct types types = { };
	uint32_t id = 1;
	bool found;

	if (!kernel.data)
		types_read("vmlinux", &kernel);
	if (module) {
		types_walk(&kernel, NULL, NULL, &id);
		types_read(module, &types);
		found = types_walk(&types, &kernel, function, &id);
		attr->attach_btf_obj_fd = types.fd;
		free(types.data);
	} else {
		found = types_walk(&kernel, NULL, function, &id);
	}
	if (!found)
		lacks("type (BTF) of %s()", function);
	attr->attach_btf_id = id;
}

static struct bpf_insn insn(uint8_t code, uint8_t dst, uint8_t src, int16_t off,
			    int32_t imm)
{
	return (struct bpf_insn) {
		.code = code, .dst_reg = dst, .src_reg = src, .off = off, .imm = imm
	};
}

/* Writes the program. Returns how many instructions there are. */
static unsigned int write_program(struct bpf_insn *p, const struct kind *kind,
				  int map, size_t offset, int answer)
{
	const struct bpf_insn *start = p;
	const uint8_t mov = BPF_ALU64 | BPF_MOV;

	/* r6: the context; r7: where the map has what this program sees */
	*p++ = insn(mov | BPF_X, 6, 1, 0, 0);
	*p++ = insn(BPF_LD | BPF_DW | BPF_IMM, 7, BPF_PSEUDO_MAP_VALUE, 0, map);
	*p++ = insn(0, 0, 0, 0, offset);
	*p++ = insn(mov | BPF_K, 1, 0, 0, 1);
	*p++ = insn(BPF_STX | BPF_DW | BPF_ATOMIC, 7, 1,
		    offsetof(struct seen, calls), BPF_ADD);
	if (kind->sees_value) {
		*p++ = insn(BPF_ST | BPF_DW | BPF_MEM, 10, 0, -8, 0);
		*p++ = insn(mov | BPF_X, 1, 6, 0, 0);
		*p++ = insn(mov | BPF_X, 2, 10, 0, 0);
		*p++ = insn(BPF_ALU64 | BPF_ADD | BPF_K, 2, 0, 0, -8);
		*p++ = insn(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_get_func_ret);
		*p++ = insn(BPF_LDX | BPF_DW | BPF_MEM, 1, 10, -8, 0);
		*p++ = insn(BPF_STX | BPF_DW | BPF_MEM, 7, 1,
			    offsetof(struct seen, value), 0);
	}
	if (kind->prog_type == BPF_PROG_TYPE_KPROBE) {
		*p++ = insn(mov | BPF_X, 1, 6, 0, 0);
		*p++ = insn(mov | BPF_K, 2, 0, 0, answer);
		*p++ = insn(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_override_return);
		answer = 0;
	}
	*p++ = insn(mov | BPF_K, 0, 0, 0, kind->answers ? answer : 0);
	*p++ = insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	return p - start;
}

static int make_map(size_t size)
{
	union bpf_attr attr = { };
	int fd;

	attr.map_type = BPF_MAP_TYPE_ARRAY;
	attr.key_size = sizeof(uint32_t);
	attr.value_size = size;
	attr.max_entries = 1;
	fd = bpf(BPF_MAP_CREATE, &attr);
	if (fd < 0 && errno == ENOSYS)
		lacks("bpf(2)");
	if (fd < 0)
		refused("map: %m");
	return fd;
}

/* The last line of the verifier's that says something, and no number of it. */
static const char *verifier_says(void)
{
	char *line, *last = "";

	for (line = strtok(verifier_log, "\n"); line; line = strtok(NULL, "\n"))
		if (strncmp(line, "processed ", strlen("processed ")))
			last = line;
	return last;
}

static int load_program(const struct kind *kind, const char *module,
			const char *function, int map, size_t offset, int answer)
{
	struct bpf_insn insns[32];
	union bpf_attr attr = { };
	const char *why;
	int fd, error;

	if (kind->prog_type == BPF_PROG_TYPE_TRACING)
		find_function(module, function, &attr);
	attr.prog_type = kind->prog_type;
	attr.expected_attach_type = kind->attach_type;
	attr.insns = address(insns);
	attr.insn_cnt = write_program(insns, kind, map, offset, answer);
	attr.license = address("GPL");
	fd = bpf(BPF_PROG_LOAD, &attr);
	if (fd >= 0)
		return fd;

	/* Once more, to know why. */
	attr.log_buf = address(verifier_log);
	attr.log_size = sizeof(verifier_log);
	attr.log_level = 1;
	fd = bpf(BPF_PROG_LOAD, &attr);
	if (fd >= 0)
		return fd;
	error = errno;
	why = verifier_says();
	if (strstr(why, "is not modifiable"))
		lacks("CONFIG_FUNCTION_ERROR_INJECTION, or %s() is not among those", function);
	if (kind->prog_type == BPF_PROG_TYPE_KPROBE && strstr(why, "override_return"))
		lacks("CONFIG_BPF_KPROBE_OVERRIDE (%s)", why);
	refused("program for %s(): %s (%s)", function, strerror(error), why);
}

/* What is attached here stays so until this process ends. */
static void attach_tracing(int prog, const char *function)
{
	union bpf_attr attr = { };

	attr.raw_tracepoint.prog_fd = prog;
	if (bpf(BPF_RAW_TRACEPOINT_OPEN, &attr) >= 0)
		return;
	if (errno == ENOTSUPP)
		lacks("BPF trampolines for this architecture");
	refused("%s(): %m", function);
}

/* The program runs on all processors, whichever the event is on. */
static void attach_kprobe(int prog, const char *function)
{
	struct perf_event_attr attr = { .size = sizeof(attr) };
	FILE *file = fopen(KPROBE_TYPE, "r");
	unsigned int type;
	int fd;

	if (!file || fscanf(file, "%u", &type) != 1)
		lacks("perf events on kprobes (%s)", KPROBE_TYPE);
	fclose(file);

	attr.type = type;
	attr.config1 = address(function);
	fd = syscall(SYS_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
	if (fd < 0)
		refused("kprobe on %s(): %m", function);
	if (ioctl(fd, PERF_EVENT_IOC_SET_BPF, prog))
		refused("program for the kprobe on %s(): %m", function);
	if (ioctl(fd, PERF_EVENT_IOC_ENABLE, 0))
		refused("enabling the kprobe on %s(): %m", function);
}

static void answer_line(int map, unsigned int nr)
{
	struct seen seen[MAX_FUNCTIONS] = { };
	union bpf_attr attr = { };
	uint32_t key = 0;
	unsigned int i;

	attr.map_fd = map;
	attr.key = address(&key);
	attr.value = address(seen);
	if (bpf(BPF_MAP_LOOKUP_ELEM, &attr))
		refused("reading the map: %m");
	for (i = 0; i < nr; i++)
		printf("%s%llu", i ? "," : "", (unsigned long long)seen[i].calls);
	/* All functions here return an int. */
	for (i = 0; i < nr; i++)
		printf("%s%d", i ? "," : " ", (int)seen[i].value);
	printf("\n");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	const struct kind *kind;
	char line[64];
	int answer, map, prog, i;

	if (argc < 4 || argc > 3 + MAX_FUNCTIONS)
		refused("usage: test_klp-bpf KIND ANSWER [MODULE:]FUNCTION...");
	for (kind = kinds; kind->name && strcmp(kind->name, argv[1]); kind++)
		;
	if (!kind->name)
		refused("there is no kind %s", argv[1]);
	answer = atoi(argv[2]);

	map = make_map(sizeof(struct seen) * MAX_FUNCTIONS);
	for (i = 3; i < argc; i++) {
		char *function = strchr(argv[i], ':');
		const char *module = function ? argv[i] : NULL;

		if (function)
			*function++ = '\0';
		else
			function = argv[i];
		prog = load_program(kind, module, function, map,
				    sizeof(struct seen) * (i - 3), answer);
		if (kind->prog_type == BPF_PROG_TYPE_KPROBE)
			attach_kprobe(prog, function);
		else
			attach_tracing(prog, function);
	}
	printf("attached\n");
	fflush(stdout);

	while (fgets(line, sizeof(line), stdin))
		answer_line(map, argc - 3);
	return 0;
}
