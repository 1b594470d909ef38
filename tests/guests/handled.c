/* Waits for moments of CLOCK_MONOTONIC, so many milliseconds ahead, by calls that are begun anew when a
 * handler has interrupted them, each in a thread of its own. The handlers last until a file is there:
 *
 *   handled OUTPUT MILLISECONDS FILE
 *
 * Writes `handles` when both handlers have interrupted a wait, one of them on a stack of its own, and for each
 * wait how late it has ended, in nanoseconds: `WAY LATE RESULT`.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LOCK_PI2_PRIVATE (13 | 128)
#define FUTEX_WAITV 449

static int out;
static struct timespec at;
static const char *file;
static uint32_t lock;
static volatile sig_atomic_t handling[2];
static __thread volatile sig_atomic_t *own;

static long long nanos(struct timespec t)
{
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void put(const char *line)
{
    if (write(out, line, strlen(line)) < 0)
        _exit(1);
}

static void say(const char *way, long result)
{
    struct timespec now;
    char line[100];
    int error = result ? errno : 0;
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(line, sizeof line, "%s %lld %d\n", way, nanos(now) - nanos(at), error);
    put(line);
}

/* Interrupted elsewhere than in the wait that has been converted it returns at once, and is sent again. */
static void on_signal(int number, siginfo_t *info, void *context)
{
    const struct timespec moment = { .tv_nsec = 10000000 };
    unsigned long vdso = getauxval(AT_SYSINFO_EHDR);
    unsigned long ip = ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    (void)number;
    (void)info;
    if (!own || *own || ip < vdso || ip >= vdso + 0x10000)
        return;
    *own = 1;
    while (access(file, F_OK))
        nanosleep(&moment, NULL);
}

static void *waits_for_several(void *unused)
{
    struct { uint64_t value, address; uint32_t flags, reserved; } waiter;
    uint32_t word = 0;
    static char stack[1 << 16];
    stack_t alternate = { .ss_sp = stack, .ss_size = sizeof stack };
    sigaltstack(&alternate, NULL);
    own = &handling[0];
    memset(&waiter, 0, sizeof waiter);
    waiter.address = (uintptr_t)&word;
    waiter.flags = 2;
    say("waitv", syscall(FUTEX_WAITV, &waiter, 1, 0, &at, CLOCK_MONOTONIC));
    return unused;
}

static void *locks(void *unused)
{
    own = &handling[1];
    say("lock", syscall(SYS_futex, &lock, LOCK_PI2_PRIVATE, 0, &at, NULL, 0));
    return unused;
}

int main(int argc, char **argv)
{
    struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_RESTART | SA_SIGINFO };
    const struct timespec moment = { .tv_nsec = 10000000 };
    pthread_t threads[2];
    if (argc != 4 || (out = open(argv[1], O_WRONLY | O_CREAT | O_APPEND, 0644)) < 0)
        return 2;
    file = argv[3];
    sigaction(SIGUSR1, &action, NULL);
    action.sa_flags |= SA_ONSTACK;
    sigaction(SIGUSR2, &action, NULL);
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += atoi(argv[2]) / 1000;
    lock = getpid();
    pthread_create(&threads[0], NULL, waits_for_several, NULL);
    pthread_create(&threads[1], NULL, locks, NULL);
    while (!handling[0] || !handling[1]) {
        if (!handling[0])
            pthread_kill(threads[0], SIGUSR2);
        if (!handling[1])
            pthread_kill(threads[1], SIGUSR1);
        nanosleep(&moment, NULL);
    }
    put("handles\n");
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    /* What there is to see is in the file. */
    pause();
}
