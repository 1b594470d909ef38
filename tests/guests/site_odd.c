/* Call sites that look like others, are entered in the middle, or come and go.
 *
 * Each is used several times: for a deadline that has passed, for one to come, and for a time that is
 * none. Prints a line for each use: `NAME KIND RESULT WHEN`, then whatever else must have stayed.
 */
#include "timed.h"
#include <sys/mman.h>

typedef long wait_call(long clock, long flags, const struct timespec *time, long rest, long *seen);

/* The last bytes before `syscall` are those of `mov $230,%eax` and yet belong to something else. What
 * that does is stored at the fifth argument. */
#define FALSE_MATCH(name, before, after)                                                             \
    __asm__(".p2align 6\n" #name ": push %rbx\n mov %r8, %rbx\n mov %rcx, %r10\n mov $230, %eax\n"   \
            " .p2align 4\n" before " syscall\n" after " mov %rcx, (%rbx)\n pop %rbx\n ret\n");       \
    wait_call name

/* movl $230, -0x48(%rsp) */
FALSE_MATCH(stores_number, " .byte 0xc7, 0x44, 0x24, 0xb8, 0xe6, 0, 0, 0\n", " mov -0x48(%rsp), %ecx\n");
/* mov $230, %r8d */
FALSE_MATCH(loads_other_register, " .byte 0x41, 0xb8, 0xe6, 0, 0, 0\n", " mov %r8, %rcx\n");
/* movabs $0xe6b8000001, %rsi */
FALSE_MATCH(loads_long_number, " .byte 0x48, 0xbe, 1, 0, 0, 0xb8, 0xe6, 0, 0, 0\n", " mov %rsi, %rcx\n");
/* nopl 0xe6(%rax,%rdi,4) */
FALSE_MATCH(does_nothing, " .byte 0x0f, 0x1f, 0x84, 0xb8, 0xe6, 0, 0, 0\n", " mov %rsi, %rcx\n");

/* The number comes otherwise. */
FALSE_MATCH(number_by_long_mov, " .byte 0x48, 0xc7, 0xc0, 0xe6, 0, 0, 0\n", " xor %ecx, %ecx\n");
FALSE_MATCH(number_by_pop, " xor %eax, %eax\n mov $0xe6, %al\n", " xor %ecx, %ecx\n");
FALSE_MATCH(number_earlier, " nopw 0(%rax,%rax,1)\n", " xor %ecx, %ecx\n");

/* An ordinary site, and code elsewhere that jumps to its `syscall` with a number of its own. */
__asm__(".p2align 6\nfront_door: mov %rcx, %r10\n mov $230, %eax\nits_syscall: syscall\n"
        " cmpq $-4, %rax\n je front_door\n ret\n"
        ".p2align 6\nback_door: mov %rcx, %r10\n mov $230, %eax\n jmp its_syscall\n"
        ".p2align 6\nborrows_syscall: mov $39, %eax\n jmp its_syscall\n");
wait_call front_door, back_door;
long borrows_syscall(void);

static const unsigned char code[] = { 0x49, 0x89, 0xca, 0xb8, 0xe6, 0, 0, 0, 0x0f, 0x05, 0xc3 };
/* mov $42, %eax; ret; what stood there before ends in the same bytes */
static const unsigned char answer[] = { 0xb8, 42, 0, 0, 0, 0xc3, 0x90, 0x90, 0x90, 0x90, 0xc3 };

static void use(const char *name, wait_call *wait)
{
    static const clockid_t clocks[] = { CLOCK_REALTIME, CLOCK_MONOTONIC };

    for (int i = 0; i < 8; i++) {
        clockid_t clock = clocks[i % 2];
        long long deadline = now(clock) + (i & 2 ? 3 * MILLISECOND : -SECOND);
        struct timespec time = at(deadline);
        long seen = 0, result = wait(clock, TIMER_ABSTIME, &time, 0, &seen);

        printf("%s %d %ld %s %#lx\n", name, clock, result, when(clock, deadline), seen);
        time.tv_nsec = SECOND;
        result = wait(clock, TIMER_ABSTIME, &time, 0, &seen);
        time = at(MILLISECOND);
        printf("%s %d %ld %ld\n", name, clock, result, wait(clock, 0, &time, 0, &seen));
    }
}

/* Code in a mapping that `fd` and the flags make; written by another one if that is needed. */
static void generated(const char *name, int fd, int flags, int protection)
{
    unsigned char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, flags, fd, 0);

    if (page == MAP_FAILED)
        exit(3);
    for (int i = 0; i < 3; i++) {
        mprotect(page, 4096, PROT_READ | PROT_WRITE);
        memcpy(page, code, sizeof code);
        mprotect(page, 4096, protection);
        use(name, (wait_call *)(void *)page);
        if (flags & MAP_SHARED || protection & PROT_WRITE)
            printf("%s unchanged %d\n", name, !memcmp(page, code, sizeof code));
        mprotect(page, 4096, PROT_READ | PROT_WRITE);
        memcpy(page, answer, sizeof answer);
        mprotect(page, 4096, protection);
        printf("%s answers %ld\n", name, ((long (*)(void))(void *)page)());
    }
    munmap(page, 4096);
}

static int new_file(void)
{
    int fd = memfd_create("code", 0);

    return fd >= 0 && ftruncate(fd, 4096) == 0 ? fd : (exit(3), -1);
}

int main(void)
{
    use("stores_number", stores_number);
    use("loads_other_register", loads_other_register);
    use("loads_long_number", loads_long_number);
    use("does_nothing", does_nothing);
    use("number_by_long_mov", number_by_long_mov);
    use("number_by_pop", number_by_pop);
    use("number_earlier", number_earlier);
    use("back_door", back_door);
    use("front_door", front_door);
    use("back_door", back_door);
    printf("borrows_syscall %d\n", borrows_syscall() == getpid());
    generated("anonymous", -1, MAP_PRIVATE | MAP_ANONYMOUS, PROT_READ | PROT_EXEC);
    generated("writable", -1, MAP_PRIVATE | MAP_ANONYMOUS, PROT_READ | PROT_WRITE | PROT_EXEC);
    generated("shared", new_file(), MAP_SHARED, PROT_READ | PROT_EXEC);
    generated("private", new_file(), MAP_PRIVATE, PROT_READ | PROT_EXEC);
    generated("private writable", new_file(), MAP_PRIVATE, PROT_READ | PROT_WRITE | PROT_EXEC);
    return 0;
}
