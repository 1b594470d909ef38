/* A program whose first act is to read the clock through the vDSO; gcc -nostdlib -static.
 *
 * FIRST SECONDS: exits 0 if CLOCK_REALTIME is at SECONDS or up to a day later, else 1; 2 if there
 * is no vDSO. Makes no system call before its exit. Under a name that ends in `late` it computes
 * for some 200 ms before it reads.
 */
#include <elf.h>

struct time { long sec, nsec; };

static _Noreturn void leave(long code)
{
    __asm__ volatile("syscall" : : "a"(231L), "D"(code) : "rcx", "r11", "memory");
    __builtin_unreachable();
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
    const Elf64_Sym *symbol = 0;
    const char *names = 0;

    for (int i = 0; i < header->e_phnum; i++)
        if (segment[i].p_type == PT_DYNAMIC)
            dynamic = (const void *)(base + segment[i].p_offset);
    for (; dynamic && dynamic->d_tag != DT_NULL; dynamic++) {
        if (dynamic->d_tag == DT_SYMTAB)
            symbol = (const void *)(base + dynamic->d_un.d_ptr);
        if (dynamic->d_tag == DT_STRTAB)
            names = (const char *)(base + dynamic->d_un.d_ptr);
    }
    /* The strings follow the symbols, so they bound them. */
    for (; symbol && (const char *)(symbol + 1) <= names; symbol++)
        if (same(names + symbol->st_name, name))
            return (void *)(base + symbol->st_value);
    return 0;
}

__attribute__((used)) static void start(long *stack)
{
    long argc = stack[0], expected = 0;
    char **argv = (char **)(stack + 1);
    long *word = stack + argc + 2;
    const unsigned char *base = 0;
    int (*clock_gettime)(int, struct time *) = 0;
    struct time now;
    const char *name = argv[0];

    while (*word)
        word++;
    for (word++; word[0]; word += 2)
        if (word[0] == AT_SYSINFO_EHDR)
            base = (const void *)word[1];
    if (base)
        clock_gettime = find(base, "__vdso_clock_gettime");
    if (!clock_gettime)
        leave(2);
    while (*name)
        name++;
    for (volatile int i = 0; same(name - 4, "late") && i < 200000000; i++)
        ;
    clock_gettime(0, &now);
    for (const char *digit = argv[argc - 1]; *digit; digit++)
        expected = 10 * expected + (*digit - '0');
    leave(now.sec < expected || now.sec > expected + 86400);
}

__asm__(".globl _start\n_start: mov %rsp, %rdi\n and $-16, %rsp\n call start\n");
