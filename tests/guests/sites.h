/* Call sites at chosen places: `mov $nr,%eax; syscall`, in the program's text.
 *
 * A site is called as a C function with the system call's arguments. SITES holds them all, for
 * clock_nanosleep and for futex; those of one number lie at every distance from the ends of a cache
 * line and of a page that matters: before 1 to 4 bytes of the `mov` straddle it, at 5 it lies between
 * the instructions, at 6 the `syscall` straddles it.
 */
struct site {
    long (*call)(long, long, long, long, long, long);
    const unsigned char *mov;
    long nr, before, align;
};

extern const struct site sites[], sites_end[];
#define SITES ((int)(sites_end - sites))
/* The aligned ones: the first of each number. */
#define SLEEP_SITE (sites)
#define FUTEX_SITE (sites + SITES / 2)

__asm__(".macro site nr, align, before\n"
        " .p2align \\align, 0x90\n"
        " .skip (1 << \\align) - \\before - 3, 0x90\n"
        "8: mov %rcx, %r10\n"
        "9: mov $\\nr, %eax\n"
        " syscall\n"
        " ret\n"
        " .pushsection .data.rel.ro.sites, \"aw\"\n"
        " .quad 8b, 9b, \\nr, \\before, \\align\n"
        " .popsection\n"
        ".endm\n"
        ".macro sites_of nr\n"
        " .irp before, 16, 1, 2, 3, 4, 5, 6\n"
        "  site \\nr, 6, \\before\n"
        " .endr\n"
        " .irp before, 1, 2, 3, 4, 5, 6\n"
        "  site \\nr, 12, \\before\n"
        " .endr\n"
        ".endm\n"
        ".pushsection .data.rel.ro.sites, \"aw\"\n"
        " .p2align 3\n"
        ".globl sites\n"
        "sites:\n"
        ".popsection\n"
        ".text\n"
        " sites_of 230\n"
        " sites_of 202\n"
        ".pushsection .data.rel.ro.sites, \"aw\"\n"
        ".globl sites_end\n"
        "sites_end:\n"
        ".popsection\n");

/* Whether a site jumps to the gate by itself. */
static inline int is_patched(const struct site *site)
{
    return *(const volatile unsigned char *)site->mov == 0xe9;
}
