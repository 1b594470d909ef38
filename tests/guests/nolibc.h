/* What a program without libc needs: system calls, digits, and the vDSO's functions. */
#include <elf.h>

struct timespec_pair { long sec, nsec; };

static long call(long nr, long a, long b, long c)
{
    long result;

    __asm__ volatile("syscall" : "=a"(result) : "0"(nr), "D"(a), "S"(b), "d"(c)
                     : "rcx", "r11", "memory");
    return result;
}

static char *digits(char *end, unsigned long value, int width)
{
    while (width-- > 0 || value) {
        *--end = (char)('0' + value % 10);
        value /= 10;
    }
    return end;
}

static int same(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

static void *find(const unsigned char *base, const char *name)
{
    const Elf64_Ehdr *header = (const void *)base;
    const Elf64_Phdr *segment = (const void *)(base + header->e_phoff);
    const Elf64_Dyn *dynamic = 0;
    const Elf64_Sym *symbols = 0, *symbol;
    const char *names = 0;
    int i;

    for (i = 0; i < header->e_phnum; i++)
        if (segment[i].p_type == PT_DYNAMIC)
            dynamic = (const void *)(base + segment[i].p_offset);
    for (; dynamic && dynamic->d_tag != DT_NULL; dynamic++) {
        if (dynamic->d_tag == DT_SYMTAB)
            symbols = (const void *)(base + dynamic->d_un.d_ptr);
        if (dynamic->d_tag == DT_STRTAB)
            names = (const char *)(base + dynamic->d_un.d_ptr);
    }
    /* The strings follow the symbols, so they bound them. */
    for (symbol = symbols; symbol && (const char *)(symbol + 1) <= names; symbol++)
        if (same(names + symbol->st_name, name))
            return (void *)(base + symbol->st_value);
    return 0;
}

/* The function of that name in the vDSO that the auxiliary vector names, if there is one. */
static void *vdso(long *stack, const char *name)
{
    long *word = stack + 1 + stack[0] + 1;

    while (*word)
        word++;
    for (word++; word[0]; word += 2)
        if (word[0] == AT_SYSINFO_EHDR)
            return find((const unsigned char *)word[1], name);
    return 0;
}
