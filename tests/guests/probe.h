/* A system call of which all is known: what stands in each register, in the flags and in the red
 * zone before it, and what stands there after it. x86-64; one thread at a time.
 */
#ifndef PROBE_H
#define PROBE_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct machine {
    uint64_t rax, rdi, rsi, rdx, r10, r8, r9; /* 0: the number or result, and the arguments */
    uint64_t rbx, rbp, r12, r13, r14, r15;    /* 56 */
    uint64_t flags, rsp;                      /* 104 */
    uint64_t red_zone[16];                    /* 120 */
    unsigned char xmm[16][16];                /* 248 */
};

/* The one before the call, and the one after it. */
extern struct machine probe_in, probe_out;
extern uint64_t probe_stack;
struct machine probe_in, probe_out;
uint64_t probe_stack;

/* `syscall` with these instructions before it. After the flags are set, only `mov` is used. */
#define PROBE(name, before)                                                                        \
    void name(void);                                                                               \
    __asm__(".text\n.p2align 4\n.globl " #name "\n.type " #name ",@function\n" #name ":\n"         \
            "push %rbx\npush %rbp\npush %r12\npush %r13\npush %r14\npush %r15\n"                   \
            "mov %rsp, probe_stack(%rip)\n"                                                        \
            ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"                                       \
            "movdqu probe_in+248+16*\\n(%rip), %xmm\\n\n"                                          \
            ".endr\n"                                                                              \
            "push probe_in+104(%rip)\npopfq\n"                                                     \
            ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"                                       \
            "mov probe_in+120+8*\\n(%rip), %rax\nmov %rax, -8-8*\\n(%rsp)\n"                       \
            ".endr\n"                                                                              \
            "mov probe_in+8(%rip), %rdi\nmov probe_in+16(%rip), %rsi\n"                            \
            "mov probe_in+24(%rip), %rdx\nmov probe_in+32(%rip), %r10\n"                           \
            "mov probe_in+40(%rip), %r8\nmov probe_in+48(%rip), %r9\n"                             \
            "mov probe_in+56(%rip), %rbx\nmov probe_in+64(%rip), %rbp\n"                           \
            "mov probe_in+72(%rip), %r12\nmov probe_in+80(%rip), %r13\n"                           \
            "mov probe_in+88(%rip), %r14\nmov probe_in+96(%rip), %r15\n"                           \
            before "\nsyscall\n"                                                                   \
            "mov %rax, probe_out(%rip)\n"                                                          \
            "mov %rdi, probe_out+8(%rip)\nmov %rsi, probe_out+16(%rip)\n"                          \
            "mov %rdx, probe_out+24(%rip)\nmov %r10, probe_out+32(%rip)\n"                         \
            "mov %r8, probe_out+40(%rip)\nmov %r9, probe_out+48(%rip)\n"                           \
            "mov %rbx, probe_out+56(%rip)\nmov %rbp, probe_out+64(%rip)\n"                         \
            "mov %r12, probe_out+72(%rip)\nmov %r13, probe_out+80(%rip)\n"                         \
            "mov %r14, probe_out+88(%rip)\nmov %r15, probe_out+96(%rip)\n"                         \
            "mov %rsp, probe_out+112(%rip)\n"                                                      \
            ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"                                       \
            "mov -8-8*\\n(%rsp), %rax\nmov %rax, probe_out+120+8*\\n(%rip)\n"                      \
            "movdqu %xmm\\n, probe_out+248+16*\\n(%rip)\n"                                         \
            ".endr\n"                                                                              \
            "mov probe_stack(%rip), %rsp\n"                                                        \
            "pushfq\npop probe_out+104(%rip)\ncld\n"                                               \
            "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbp\npop %rbx\nret\n"                    \
            ".size " #name ", .-" #name "\n")

/* CF, PF, AF, ZF, SF, DF and OF. */
#define PROBE_FLAGS 0xcd5

static uint64_t probe_seed = 0x9e3779b97f4a7c15;

static uint64_t probe_random(void)
{
    probe_seed ^= probe_seed << 13;
    probe_seed ^= probe_seed >> 7;
    probe_seed ^= probe_seed << 17;
    return probe_seed;
}

static int probe_differs(const char *name, uint64_t before, uint64_t after)
{
    if (before == after)
        return 0;
    printf("%s was %#llx and is %#llx\n", name, (unsigned long long)before,
           (unsigned long long)after);
    return 1;
}

/* Makes the call with random values in all that it does not use. Gives how many have changed. */
static int probe(void (*site)(void), long nr, int count, const long *arguments, long *result)
{
    uint64_t *words = (uint64_t *)&probe_in;
    uint64_t kept = PROBE_FLAGS;
    size_t n;
    int wrong = 0;

    for (n = 0; n < sizeof probe_in / 8; n++)
        words[n] = probe_random();
    probe_in.rax = (uint64_t)nr;
    for (n = 0; n < (size_t)count; n++)
        (&probe_in.rdi)[n] = (uint64_t)arguments[n];
    probe_in.flags = (probe_in.flags & kept) | 0x202;
    site();
    *result = (long)probe_out.rax;

#define SAME(name) wrong += probe_differs(#name, probe_in.name, probe_out.name)
    SAME(rdi);
    SAME(rsi);
    SAME(rdx);
    SAME(r10);
    SAME(r8);
    SAME(r9);
    SAME(rbx);
    SAME(rbp);
    SAME(r12);
    SAME(r13);
    SAME(r14);
    SAME(r15);
#undef SAME
    wrong += probe_differs("flags", probe_in.flags & kept, probe_out.flags & kept);
    wrong += probe_differs("rsp", probe_stack, probe_out.rsp);
    for (n = 0; n < 16; n++)
        wrong += probe_differs("red zone", probe_in.red_zone[n], probe_out.red_zone[n]);
    wrong += probe_differs("xmm", 0, memcmp(probe_in.xmm, probe_out.xmm, sizeof probe_in.xmm) != 0);
    return wrong;
}

#endif
