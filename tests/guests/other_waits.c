/* Waits for a time through another door than the native system call's, and reads clocks there, under
 * signals.
 *
 *   other_waits int80       the i386 table: int $0x80
 *   other_waits vsyscall    the page at 0xffffffffff600000
 *
 * Prints how the calls ended; nothing here depends on the clocks' shift.
 */
#define _GNU_SOURCE
#include "absolute.h"
#include <sys/mman.h>
#include <sys/time.h>

static volatile sig_atomic_t handled;

static void count(int number)
{
    (void)number;
    handled++;
}

static long int80(long nr, long a, long b, long c, long d)
{
    long result;

    __asm__ volatile("int $0x80" : "=a"(result) : "0"(nr), "b"(a), "c"(b), "d"(c), "S"(d)
                     : "r8", "r9", "r10", "r11", "memory");
    return (int)result;
}

/* What fits into 32 bits of address, with times of 32 and of 64 bits. */
static void by_int80(void)
{
    enum { CLOCK_NANOSLEEP = 267, CLOCK_NANOSLEEP64 = 407, FUTEX = 240, GETPID = 20 };
    int *narrow = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    int64_t *wide = (int64_t *)(narrow + 16);
    long at = (long)narrow, wide_at = (long)wide, result;
    int64_t start = now(CLOCK_MONOTONIC);
    struct interruption i;
    pthread_t thread;

    if (narrow == MAP_FAILED)
        exit(2);
    /* A second after each clock's beginning is past on the host and inside. */
    narrow[0] = 1;
    wide[0] = 1;
    result = int80(CLOCK_NANOSLEEP, CLOCK_REALTIME, TIMER_ABSTIME, at, 0);
    printf("past: %ld", result);
    result = int80(CLOCK_NANOSLEEP64, CLOCK_MONOTONIC, TIMER_ABSTIME, wide_at, 0);
    printf(" %ld", result);
    result = int80(FUTEX, at + 32, FUTEX_WAIT_BITSET, 7, at);
    printf(" %ld\n", result);

    narrow[0] = 0;
    narrow[1] = 30000000;
    result = int80(CLOCK_NANOSLEEP, CLOCK_REALTIME, 0, at, 0);
    printf("relative: %ld, %s\n", result,
           now(CLOCK_MONOTONIC) - start >= 30000000 ? "in time" : "before its time");
    narrow[0] = 60;
    thread = interrupt_me(&i, SIGALRM);
    result = int80(CLOCK_NANOSLEEP, CLOCK_REALTIME, 0, at, at + 8);
    pthread_join(thread, NULL);
    printf("interrupted: %ld, handled %d, left %s\n", result, (int)handled,
           narrow[2] > 30 ? "most" : "little");
    printf("%s\n", int80(GETPID, 0, 0, 0, 0) == getpid() ? "still there" : "lost");
}

/* The page emulates a system call, which a handler may interrupt. */
static void by_vsyscall(void)
{
    const struct itimerval often = { { 0, 200 }, { 0, 200 } }, never = { { 0, 0 }, { 0, 0 } };
    long (*time_there)(long *) = (long (*)(long *))0xffffffffff600400;
    int (*gettimeofday_there)(struct timeval *, void *) =
        (int (*)(struct timeval *, void *))0xffffffffff600000;
    long n, wrong = 0;

    handle(SIGALRM, count, SA_RESTART);
    setitimer(ITIMER_REAL, &often, NULL);
    for (n = 0; n < 2000; n++) {
        struct timeval day = { 0, 0 };
        int64_t before = now(CLOCK_REALTIME), after;
        long seconds = time_there(NULL);
        int error = gettimeofday_there(&day, NULL);

        after = now(CLOCK_REALTIME);
        /* The kernel gives -512, an error of its own, to who was interrupted in a notification. */
        if (seconds != -512 && (seconds < before / 1000000000 - 1 || seconds > after / 1000000000))
            wrong++;
        if (error != -512 && (error || day.tv_sec < before / 1000000000 - 1 || day.tv_sec > after / 1000000000))
            wrong++;
    }
    setitimer(ITIMER_REAL, &never, NULL);
    printf("%ld wrong\n", wrong);
}

int main(int argc, char **argv)
{
    prepare_waits();
    handle(SIGALRM, count, 0);
    if (argc > 1 && !strcmp(argv[1], "vsyscall"))
        by_vsyscall();
    else
        by_int80();
    return 0;
}
