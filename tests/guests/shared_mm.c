/* Processes that share one memory before any of them has made a system call that elsewhen sees.
 *
 *   shared_mm LO HI
 *
 * Starts seven with clone(CLONE_VM); all eight then call brk(0) at the same moment and read the
 * clock in the vDSO and by a system call. Exits 0 if all readings lie in [LO, HI] seconds, 3 if
 * one does not. No libc: nothing has been called before.
 */
#include "nolibc.h"

enum { OTHERS = 7, CLONE_VM = 0x100, SIGCHLD = 17 };

static char stacks[OTHERS][8192] __attribute__((aligned(16)));
static volatile int ready;
static long low, high;
static long (*clock_gettime)(long, struct timespec_pair *);

static long number(const char *text)
{
    long value = 0;

    while (*text)
        value = value * 10 + (*text++ - '0');
    return value;
}

static int outside(const struct timespec_pair *now)
{
    return now->sec < low || now->sec > high;
}

__attribute__((used)) static void race(void)
{
    struct timespec_pair a = { 0, 0 }, b = { 0, 0 };
    int i, wrong = 0;

    __atomic_add_fetch(&ready, 1, __ATOMIC_SEQ_CST);
    while (ready <= OTHERS)
        call(24, 0, 0, 0); /* sched_yield */
    call(12, 0, 0, 0);
    for (i = 0; i < 100; i++) {
        clock_gettime(0, &a);
        wrong |= outside(&a);
    }
    call(228, 0, (long)&b, 0);
    wrong |= outside(&b);
    call(60, wrong ? 3 : 0, 0, 0);
}

/* clone(CLONE_VM | SIGCHLD) whose child runs race() on a stack of its own. */
static long start_other(char *stack)
{
    long result;

    __asm__ volatile("syscall\n\ttest %%rax, %%rax\n\tjnz 1f\n\tcall race\n1:"
                     : "=a"(result)
                     : "0"(56L), "D"((long)(CLONE_VM | SIGCHLD)), "S"(stack + sizeof stacks[0]),
                       "d"(0L)
                     : "rcx", "r11", "memory");
    return result;
}

__attribute__((used)) static void start(long *stack)
{
    char **argv = (char **)(stack + 1);
    int i, status, wrong = 0;
    long pid;

    (void)digits;
    if (stack[0] != 3)
        call(231, 2, 0, 0);
    low = number(argv[1]);
    high = number(argv[2]);
    clock_gettime = (long (*)(long, struct timespec_pair *))vdso(stack, "__vdso_clock_gettime");
    if (!clock_gettime)
        call(231, 77, 0, 0);
    for (i = 0; i < OTHERS; i++)
        if (start_other(stacks[i]) < 0)
            call(231, 4, 0, 0);
    pid = call(57, 0, 0, 0); /* fork: the eighth has a copy of the memory as it is now */
    if (pid == 0) {
        ready = OTHERS;
        race();
    }
    __atomic_add_fetch(&ready, 1, __ATOMIC_SEQ_CST);
    for (i = 0; i <= OTHERS; i++) {
        register long fourth __asm__("r10") = 0;
        long result;

        __asm__ volatile("syscall" : "=a"(result)
                         : "0"(61L), "D"(-1L), "S"(&status), "d"(0L), "r"(fourth)
                         : "rcx", "r11", "memory");
        if (result < 0)
            call(231, 5, 0, 0);
        if (status)
            wrong = 3;
    }
    call(231, wrong, 0, 0);
}

__asm__(".globl _start\n_start: xor %ebp, %ebp\nmov %rsp, %rdi\nand $-16, %rsp\ncall start\n");
