/* Absolute times, and waits for them: what the guests share that wait. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MILLISECOND 1000000LL
#define SECOND 1000000000LL

enum { FUTEX_WAIT = 0, FUTEX_WAKE = 1, FUTEX_WAIT_BITSET = 9, FUTEX_REALTIME = 256 };

static inline long long now(clockid_t clock)
{
    struct timespec time;

    clock_gettime(clock, &time);
    return time.tv_sec * SECOND + time.tv_nsec;
}

static inline struct timespec at(long long nanos)
{
    return (struct timespec){ nanos / SECOND, nanos % SECOND };
}

/* What a wait did that should have ended at `deadline`: far too late is what an offset makes of it. */
static inline const char *when(clockid_t clock, long long deadline)
{
    long long late = now(clock) - deadline;

    return late < 0 ? "early" : late > 20 * SECOND ? "late" : "in time";
}

/* Whether a time has come, and that not long ago. */
static inline int is_over(clockid_t clock, const struct timespec *time)
{
    return !strcmp(when(clock, time->tv_sec * SECOND + time->tv_nsec), "in time");
}

/* A system call of its own, made here; the result is the kernel's, negative if it is an errno. */
static inline long call(long nr, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long result;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "0"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}
