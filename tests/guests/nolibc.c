/* A static program without libc: no brk and no arch_prctl before it reads the clock.
 *
 * Built with -DVDSO it finds clock_gettime in the vDSO that the auxiliary vector names, and
 * reads the clock there; otherwise by a system call, which is the first that it makes.
 * Prints `SEC.NSEC`.
 */
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

#ifdef VDSO
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
#endif

__attribute__((used)) static void start(long *stack)
{
    struct timespec_pair now = { 0, 0 };
    char text[64], *end = text + sizeof text, *at = end;
    long failed;

#ifdef VDSO
    long *word = stack + 1 + stack[0] + 1;
    long (*clock_gettime)(long, struct timespec_pair *) = 0;

    while (*word)
        word++;
    for (word++; word[0]; word += 2)
        if (word[0] == AT_SYSINFO_EHDR)
            clock_gettime = (long (*)(long, struct timespec_pair *))
                find((const unsigned char *)word[1], "__vdso_clock_gettime");
    if (!clock_gettime)
        call(231, 77, 0, 0);
    failed = clock_gettime(0, &now);
#else
    (void)stack;
    (void)same;
    failed = call(228, 0, (long)&now, 0);
#endif
    if (failed)
        call(231, 1, 0, 0);
    *--at = '\n';
    at = digits(at, (unsigned long)now.nsec, 9);
    *--at = '.';
    at = digits(at, (unsigned long)now.sec, 1);
    call(1, 1, (long)at, end - at);
    call(231, 0, 0, 0);
}

__asm__(".globl _start\n_start: xor %ebp, %ebp\nmov %rsp, %rdi\nand $-16, %rsp\ncall start\n");
