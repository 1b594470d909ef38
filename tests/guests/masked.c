/* Waits for times in a program that owns its signals.
 *
 *   masked blocked       a second thread with all signals blocked waits; so does the first
 *   masked ignored       SIGSYS is ignored
 *   masked handler       SIGSYS has a handler, which counts
 *   masked dumpable      after PR_SET_DUMPABLE 0
 *   masked trap first|later   a seccomp filter of the program's own raises SIGSYS for
 *                        clock_nanosleep, from the start, or once the call has been made; the
 *                        handler answers it
 *   masked broker first|later   the same, and the handler makes the call itself, with the six
 *                        arguments it was told, from an address that the filter lets pass
 *
 * Prints a line for each call: its result and whether it came in time.
 */
#define _GNU_SOURCE
#include "absolute.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <ucontext.h>

static volatile sig_atomic_t handled;
static volatile int is_broker;

/* The time lies on the stack, or in memory about which nobody can know that it is there. */
static void once(const struct wait *w, int is_far)
{
    int64_t start = now(CLOCK_MONOTONIC);
    struct timespec near, copy, *until = is_far ? (struct timespec *)malloc(sizeof *until) : &near;
    int error;

    *until = copy = from_now(w->clock, 50);
    error = w->until(until);
    printf("%s: %s %s%s\n", w->name, error_name(error), when(w, until, start),
           memcmp(until, &copy, sizeof copy) ? ", changed" : "");
    fflush(stdout);
    if (is_far)
        free(until);
}

static void *each(void *arg)
{
    size_t n;

    for (n = 0; n < 2 * WAITS; n++)
        once(&waits[n % WAITS], n >= WAITS);
    return arg;
}

static void all_blocked(void)
{
    struct timespec none = { 0, 0 };
    siginfo_t info;
    pthread_t thread;
    sigset_t all, waiting;
    int number;

    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    /* One that is pending all the while. */
    raise(SIGALRM);
    if (pthread_create(&thread, NULL, each, NULL))
        abort();
    pthread_join(thread, NULL);
    each(NULL);
    while ((number = sigtimedwait(&all, &info, &none)) > 0)
        printf("then came %s\n", strsignal(number));
    sigpending(&waiting);
    printf("SIGSYS pending: %d\n", sigismember(&waiting, SIGSYS));
}

static void on_sigsys(int number)
{
    (void)number;
    handled++;
}

/* The six arguments and the number, as the kernel takes them; the filter knows where this ends. */
long broker_call(long nr, long a, long b, long c, long d, long e, long f);
extern char broker_end[];
__asm__(".text\n.globl broker_call\n.type broker_call,@function\nbroker_call:\n"
        "mov %rdi, %rax\nmov %rsi, %rdi\nmov %rdx, %rsi\nmov %rcx, %rdx\n"
        "mov %r8, %r10\nmov %r9, %r8\nmov 8(%rsp), %r9\nsyscall\n"
        ".globl broker_end\nbroker_end:\nret\n.size broker_call, .-broker_call\n");

static void on_trap(int number, siginfo_t *info, void *context)
{
    greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;

    (void)number;
    handled++;
    if (info->si_code != 1 || info->si_syscall != SYS_clock_nanosleep || r[REG_RDI] != CLOCK_REALTIME ||
        r[REG_RSI] != TIMER_ABSTIME)
        r[REG_RAX] = -EPERM;
    else if (is_broker)
        r[REG_RAX] = broker_call(SYS_clock_nanosleep, r[REG_RDI], r[REG_RSI], r[REG_RDX],
                                 r[REG_R10], r[REG_R8], r[REG_R9]);
    else
        r[REG_RAX] = -ENOSYS;
}

static void sandbox(void)
{
    uint64_t end = (uintptr_t)broker_end;
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clock_nanosleep, 0, 5),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)end, 0, 2),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer) + 4),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(end >> 32), 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { sizeof code / sizeof *code, code };

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0))
        abort();
}

static void trapped(int is_later)
{
    struct sigaction action;
    int n;

    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_trap;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGSYS, &action, NULL);
    for (n = 0; n < 6; n++) {
        if (n == (is_later ? 3 : 0))
            sandbox();
        handled = 0;
        once(&waits[n % 2 ? 4 : 0], n % 4 >= 2);
        printf("handled %d\n", (int)handled);
    }
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "blocked";
    int is_later = argc > 2 && !strcmp(argv[2], "later");

    prepare_waits();
    if (!strcmp(mode, "blocked")) {
        all_blocked();
        return 0;
    }
    is_broker = !strcmp(mode, "broker");
    if (is_broker || !strcmp(mode, "trap")) {
        trapped(is_later);
        return 0;
    }
    if (!strcmp(mode, "ignored"))
        signal(SIGSYS, SIG_IGN);
    if (!strcmp(mode, "handler"))
        signal(SIGSYS, on_sigsys);
    if (!strcmp(mode, "dumpable") && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
        return 2;
    each(NULL);
    printf("handled %d\n", (int)handled);
    return 0;
}
