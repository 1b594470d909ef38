/* A static program without libc: no brk and no arch_prctl before it reads the clock.
 *
 * Built with -DVDSO it finds clock_gettime in the vDSO that the auxiliary vector names, and
 * reads the clock there; otherwise by a system call, which is the first that it makes. With an argument
 * it makes one of the calls first by which C libraries begin: `brk` or `tls`.
 * Prints `SEC.NSEC`.
 */
#include "nolibc.h"

__attribute__((used)) static void start(long *stack)
{
    struct timespec_pair now = { 0, 0 };
    char text[64], *end = text + sizeof text, *at = end;
    long failed;

#ifdef VDSO
    long (*clock_gettime)(long, struct timespec_pair *) =
        (long (*)(long, struct timespec_pair *))vdso(stack, "__vdso_clock_gettime");

    if (!clock_gettime)
        call(231, 77, 0, 0);
    if (*stack > 1 && *(char *)stack[2] == 'b')
        call(12, 0, 0, 0);
    if (*stack > 1 && *(char *)stack[2] == 't')
        call(158, 0x1002, (long)text, 0);
    failed = clock_gettime(0, &now);
#else
    (void)stack;
    (void)vdso;
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
