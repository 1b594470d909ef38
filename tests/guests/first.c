/* A program whose first act is to read the clock through the vDSO; gcc -nostdlib -static.
 *
 * FIRST SECONDS: exits 0 if CLOCK_REALTIME is at SECONDS or up to a day later, else 1; 2 if there
 * is no vDSO. Makes no system call before its exit. Under a name that ends in `late` it computes
 * for some 200 ms before it reads.
 */
#include "nolibc.h"

static _Noreturn void leave(long code)
{
    call(231, code, 0, 0);
    __builtin_unreachable();
}

__attribute__((used)) static void start(long *stack)
{
    long argc = stack[0], expected = 0;
    char **argv = (char **)(stack + 1);
    int (*clock_gettime)(int, struct timespec_pair *) = vdso(stack, "__vdso_clock_gettime");
    struct timespec_pair now;
    const char *name = argv[0];

    (void)digits;
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
