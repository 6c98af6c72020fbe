// SPDX-License-Identifier: GPL-2.0
/*
 * Make ordinary relocations of a module into livepatch relocations.
 *
 *	test_klp-mkrela IN.ko OUT.ko [SYMBOL SECTION NAME]...
 *
 * Each relocation that refers to SYMBOL, which the module does not define, is
 * moved to a new section called SECTION: one for each section that is to be
 * relocated, whose name replaces a % in SECTION. SYMBOL is renamed to NAME and
 * marked as a livepatch symbol. With a ! in front of NAME it is not marked.
 *
 * Neither name is checked in any way: many tests are about bad ones.
 */

#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef SHF_RELA_LIVEPATCH
#define SHF_RELA_LIVEPATCH	0x00100000
#endif
#ifndef SHN_LIVEPATCH
#define SHN_LIVEPATCH		0xff20
#endif

struct buf {
	char *data;
	size_t size;
};

static struct buf in, out;
static Elf64_Ehdr *ehdr;
static Elf64_Shdr *shdrs;
static struct buf section_names, symbol_names;
static size_t nr_shdrs;
static Elf64_Sym *symbols;
static size_t nr_symbols;
static unsigned int symtab;

static void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "test_klp-mkrela: ");
	vfprintf(stderr, format, args);
	fprintf(stderr, "\n");
	va_end(args);
	exit(1);
}

static void *resize(void *data, size_t size)
{
	data = realloc(data, size);
	if (!data)
		die("out of memory");
	return data;
}

/* Returns where the added data begins. */
static size_t append(struct buf *buf, const void *data, size_t size)
{
	size_t start = buf->size;

	buf->data = resize(buf->data, start + size);
	memcpy(buf->data + start, data, size);
	buf->size += size;
	return start;
}

static void align(struct buf *buf, size_t alignment)
{
	while (buf->size % alignment)
		append(buf, "", 1);
}

static size_t append_string(struct buf *buf, const char *string)
{
	return append(buf, string, strlen(string) + 1);
}

static void read_all(struct buf *buf, const char *path)
{
	FILE *file = fopen(path, "rb");
	char chunk[65536];
	size_t size;

	if (!file)
		die("%s: %s", path, strerror(errno));
	while ((size = fread(chunk, 1, sizeof(chunk), file)) > 0)
		append(buf, chunk, size);
	if (ferror(file))
		die("cannot read %s", path);
	fclose(file);
}

static void write_all(const struct buf *buf, const char *path)
{
	FILE *file = fopen(path, "wb");

	if (!file)
		die("%s: %s", path, strerror(errno));
	if (fwrite(buf->data, 1, buf->size, file) != buf->size || fclose(file))
		die("cannot write %s", path);
}

static void *content(const Elf64_Shdr *shdr)
{
	if (shdr->sh_offset > in.size || shdr->sh_size > in.size - shdr->sh_offset)
		die("a section is outside of the file");
	return in.data + shdr->sh_offset;
}

static void parse(void)
{
	Elf64_Shdr *shdr;
	unsigned int i;

	if (in.size < sizeof(*ehdr) || memcmp(in.data, ELFMAG, SELFMAG) ||
	    in.data[EI_CLASS] != ELFCLASS64)
		die("not an ELF file of 64 bits");
	ehdr = (Elf64_Ehdr *)in.data;
	if (ehdr->e_type != ET_REL || ehdr->e_shentsize != sizeof(*shdrs) ||
	    !ehdr->e_shnum || ehdr->e_shstrndx >= ehdr->e_shnum ||
	    ehdr->e_shoff > in.size ||
	    ehdr->e_shnum * sizeof(*shdrs) > in.size - ehdr->e_shoff)
		die("not a module");

	nr_shdrs = ehdr->e_shnum;
	shdrs = resize(NULL, nr_shdrs * sizeof(*shdrs));
	memcpy(shdrs, in.data + ehdr->e_shoff, nr_shdrs * sizeof(*shdrs));

	for (i = 1; i < nr_shdrs; i++)
		if (shdrs[i].sh_type == SHT_SYMTAB)
			symtab = i;
	if (!symtab || shdrs[symtab].sh_link >= nr_shdrs)
		die("no symbols");
	symbols = content(&shdrs[symtab]);
	nr_symbols = shdrs[symtab].sh_size / sizeof(*symbols);

	shdr = &shdrs[ehdr->e_shstrndx];
	append(&section_names, content(shdr), shdr->sh_size);
	shdr = &shdrs[shdrs[symtab].sh_link];
	append(&symbol_names, content(shdr), shdr->sh_size);
}

static const char *section_name(unsigned int section)
{
	return section_names.data + shdrs[section].sh_name;
}

static unsigned int find_symbol(const char *name)
{
	unsigned int i;

	for (i = 1; i < nr_symbols; i++) {
		if (strcmp(symbol_names.data + symbols[i].st_name, name))
			continue;
		if (symbols[i].st_shndx != SHN_UNDEF)
			die("symbol %s is defined", name);
		return i;
	}
	die("no symbol %s", name);
	return 0;
}

/* The livepatch relocation section of this name, for the section base. */
static unsigned int klp_section(const char *pattern, unsigned int base)
{
	const char *base_name = section_name(base);
	size_t before = strcspn(pattern, "%");
	Elf64_Shdr *shdr;
	unsigned int i;
	char *name;

	name = resize(NULL, strlen(pattern) + strlen(base_name) + 1);
	if (pattern[before])
		sprintf(name, "%.*s%s%s", (int)before, pattern, base_name,
			pattern + before + 1);
	else
		strcpy(name, pattern);

	for (i = ehdr->e_shnum; i < nr_shdrs; i++)
		if (shdrs[i].sh_info == base && !strcmp(section_name(i), name))
			goto found;

	shdrs = resize(shdrs, ++nr_shdrs * sizeof(*shdrs));
	shdr = &shdrs[i];
	memset(shdr, 0, sizeof(*shdr));
	shdr->sh_name = append_string(&section_names, name);
	shdr->sh_type = SHT_RELA;
	shdr->sh_flags = SHF_ALLOC | SHF_INFO_LINK | SHF_RELA_LIVEPATCH;
	shdr->sh_link = symtab;
	shdr->sh_info = base;
	shdr->sh_addralign = 8;
	shdr->sh_entsize = sizeof(Elf64_Rela);
found:
	free(name);
	return i;
}

/* Contents of the new sections, by their index. */
static struct buf *klp_relas;

static unsigned int convert_section(unsigned int section, unsigned int symbol,
				    const char *pattern)
{
	size_t nr = shdrs[section].sh_size / sizeof(Elf64_Rela);
	Elf64_Rela *relas = content(&shdrs[section]);
	unsigned int base = shdrs[section].sh_info;
	unsigned int target, moved = 0;
	size_t i, kept = 0;

	for (i = 0; i < nr; i++) {
		if (ELF64_R_SYM(relas[i].r_info) != symbol) {
			relas[kept++] = relas[i];
			continue;
		}
		/* What is not loaded, like debugging information, loses it. */
		if (base >= nr_shdrs || !(shdrs[base].sh_flags & SHF_ALLOC))
			continue;
		target = klp_section(pattern, base);
		klp_relas = resize(klp_relas, nr_shdrs * sizeof(*klp_relas));
		if (!shdrs[target].sh_size)
			memset(&klp_relas[target], 0, sizeof(*klp_relas));
		append(&klp_relas[target], &relas[i], sizeof(relas[i]));
		shdrs[target].sh_size += sizeof(relas[i]);
		moved++;
	}
	shdrs[section].sh_size = kept * sizeof(Elf64_Rela);
	return moved;
}

static void convert(const char *symbol_name, const char *pattern,
		    const char *new_name)
{
	unsigned int symbol = find_symbol(symbol_name);
	unsigned int i, moved = 0;
	bool mark = true;

	if (*new_name == '!') {
		mark = false;
		new_name++;
	}

	for (i = 1; i < ehdr->e_shnum; i++)
		if (shdrs[i].sh_type == SHT_RELA)
			moved += convert_section(i, symbol, pattern);
	if (!moved)
		die("nothing refers to symbol %s", symbol_name);

	/* The loader puts up with an undefined symbol only if it is weak. */
	symbols[symbol].st_name = append_string(&symbol_names, new_name);
	if (mark) {
		symbols[symbol].st_shndx = SHN_LIVEPATCH;
		symbols[symbol].st_info =
			ELF64_ST_INFO(STB_GLOBAL, ELF64_ST_TYPE(symbols[symbol].st_info));
	}
}

static void place(unsigned int section, const struct buf *buf)
{
	align(&out, 8);
	shdrs[section].sh_offset = append(&out, buf->data, buf->size);
	shdrs[section].sh_size = buf->size;
}

int main(int argc, char *argv[])
{
	unsigned int strtab, i;

	if (argc < 3 || argc % 3)
		die("usage: test_klp-mkrela IN.ko OUT.ko [SYMBOL SECTION NAME]...");

	read_all(&in, argv[1]);
	parse();
	for (i = 3; i < argc; i += 3)
		convert(argv[i], argv[i + 1], argv[i + 2]);

	/* The old contents stay where they are, the new ones come after them. */
	append(&out, in.data, in.size);
	for (i = ehdr->e_shnum; i < nr_shdrs; i++)
		place(i, &klp_relas[i]);
	strtab = shdrs[symtab].sh_link;
	if (strtab == ehdr->e_shstrndx)
		die("one table for the names of sections and symbols");
	place(ehdr->e_shstrndx, &section_names);
	place(strtab, &symbol_names);
	align(&out, 8);

	ehdr = (Elf64_Ehdr *)out.data;
	ehdr->e_shoff = out.size;
	ehdr->e_shnum = nr_shdrs;
	append(&out, shdrs, nr_shdrs * sizeof(*shdrs));
	write_all(&out, argv[2]);
	return 0;
}
