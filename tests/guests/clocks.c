/* Reads each clock in every way that Linux offers.
 *
 *   clocks                prints `WAY CLOCK SEC NSEC` lines, in the order of reading
 *   clocks monotone N     alternates the ways N times; exits 1 if a clock stepped back, and
 *                         ends with one `WAY CLOCK SEC NSEC` line
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#ifndef STA_NANO
#define STA_NANO 0x2000
#endif

/* 32-bit programs have an old call with 32-bit times besides the one that libc uses. */
#ifdef SYS_clock_gettime64
#define RAW_CLOCK_GETTIME SYS_clock_gettime64
#else
#define RAW_CLOCK_GETTIME SYS_clock_gettime
#endif

typedef struct { long long sec, nsec; } stamp;

static const struct { const char *name; int id; } clocks[] = {
    { "REALTIME", 0 },        { "MONOTONIC", 1 },        { "PROCESS_CPUTIME", 2 },
    { "THREAD_CPUTIME", 3 },  { "MONOTONIC_RAW", 4 },    { "REALTIME_COARSE", 5 },
    { "MONOTONIC_COARSE", 6 },{ "BOOTTIME", 7 },         { "TAI", 11 },
};
#define CLOCKS (sizeof clocks / sizeof *clocks)

static stamp libc_read(int id)
{
    struct timespec ts;

    if (clock_gettime(id, &ts)) {
        perror("clock_gettime");
        exit(2);
    }
    return (stamp){ ts.tv_sec, ts.tv_nsec };
}

static stamp raw_read(int id)
{
    long long wide[2] = { 0, 0 };

    if (syscall(RAW_CLOCK_GETTIME, id, wide)) {
        perror("raw clock_gettime");
        exit(2);
    }
    return (stamp){ wide[0], wide[1] };
}

static stamp libc_gettimeofday(void)
{
    struct timeval tv;

    gettimeofday(&tv, NULL);
    return (stamp){ tv.tv_sec, tv.tv_usec * 1000LL };
}

static stamp libc_time(void)
{
    return (stamp){ time(NULL), 0 };
}

static stamp libc_timespec_get(void)
{
    struct timespec ts;

    timespec_get(&ts, TIME_UTC);
    return (stamp){ ts.tv_sec, ts.tv_nsec };
}

static stamp libc_adjtimex(void)
{
    struct timex tx;

    memset(&tx, 0, sizeof tx);
    if (adjtimex(&tx) < 0) {
        perror("adjtimex");
        exit(2);
    }
    return (stamp){ tx.time.tv_sec, tx.time.tv_usec * (tx.status & STA_NANO ? 1LL : 1000LL) };
}

static stamp libc_clock_adjtime(void)
{
    struct timex tx;

    memset(&tx, 0, sizeof tx);
    if (clock_adjtime(CLOCK_REALTIME, &tx) < 0) {
        perror("clock_adjtime");
        exit(2);
    }
    return (stamp){ tx.time.tv_sec, tx.time.tv_usec * (tx.status & STA_NANO ? 1LL : 1000LL) };
}

#if __SIZEOF_LONG__ == 8
static stamp raw_gettimeofday(void)
{
    struct timeval tv = { 0, 0 };

    syscall(SYS_gettimeofday, &tv, NULL);
    return (stamp){ tv.tv_sec, tv.tv_usec * 1000LL };
}

static stamp raw_time(void)
{
    return (stamp){ syscall(SYS_time, NULL), 0 };
}

/* `time` has a second result, in memory. */
static stamp raw_time_memory(void)
{
    long memory = -1;

    syscall(SYS_time, &memory);
    return (stamp){ memory, 0 };
}

static stamp vsyscall_gettimeofday(void)
{
    struct timeval tv = { 0, 0 };

    ((int (*)(struct timeval *, void *))0xffffffffff600000UL)(&tv, NULL);
    return (stamp){ tv.tv_sec, tv.tv_usec * 1000LL };
}

static int has_vsyscall(void)
{
    char line[512];
    int found = 0;
    FILE *maps = fopen("/proc/self/maps", "r");

    while (maps && fgets(line, sizeof line, maps))
        found |= strstr(line, "[vsyscall]") != NULL;
    if (maps)
        fclose(maps);
    return found;
}

static stamp vsyscall_time(void)
{
    return (stamp){ ((long (*)(long *))0xffffffffff600400UL)(NULL), 0 };
}
#endif

static void show(const char *way, const char *clock, stamp s)
{
    printf("%s %s %lld %lld\n", way, clock, s.sec, s.nsec);
}

static void read_all(void)
{
    unsigned i;

    for (i = 0; i < CLOCKS; i++) {
        stamp a = libc_read(clocks[i].id), b = raw_read(clocks[i].id);
        stamp c = libc_read(clocks[i].id), d = raw_read(clocks[i].id);

        show("libc", clocks[i].name, a);
        show("raw", clocks[i].name, b);
        show("libc", clocks[i].name, c);
        show("raw", clocks[i].name, d);
    }

    show("first", "OTHER", libc_read(CLOCK_REALTIME));
    show("gettimeofday", "OTHER", libc_gettimeofday());
    show("time", "OTHER", libc_time());
    show("timespec_get", "OTHER", libc_timespec_get());
    show("adjtimex", "OTHER", libc_adjtimex());
    show("clock_adjtime", "OTHER", libc_clock_adjtime());
#if __SIZEOF_LONG__ == 8
    show("raw_gettimeofday", "OTHER", raw_gettimeofday());
    show("raw_time", "OTHER", raw_time());
    show("raw_time_memory", "OTHER", raw_time_memory());
    if (has_vsyscall()) {
        show("vsyscall_gettimeofday", "OTHER", vsyscall_gettimeofday());
        show("vsyscall_time", "OTHER", vsyscall_time());
    }
#endif
    show("last", "OTHER", raw_read(CLOCK_REALTIME));
}

static long long back(stamp from, stamp to)
{
    return (from.sec - to.sec) * 1000000000LL + from.nsec - to.nsec;
}

/* Prints `CLOCK STEPS WORST`: how often the clock went back, and by how many nanoseconds. */
static int alternate(const char *name, int id, long rounds, stamp (*one)(void), stamp (*two)(void))
{
    stamp before = one ? one() : libc_read(id), now;
    long long worst = 0;
    long steps = 0, i;

    for (i = 0; i < rounds; i++) {
        if (one)
            now = i & 1 ? one() : two();
        else
            now = i & 1 ? libc_read(id) : raw_read(id);
        if (back(before, now) > 0) {
            steps++;
            if (back(before, now) > worst)
                worst = back(before, now);
        }
        before = now;
    }
    printf("%s %ld %lld\n", name, steps, worst);
    return steps != 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "monotone")) {
        long rounds = atol(argv[2]);
        int failed = 0;
        unsigned i;

        for (i = 0; i < CLOCKS; i++)
            failed |= alternate(clocks[i].name, clocks[i].id, rounds, NULL, NULL);
#if __SIZEOF_LONG__ == 8
        failed |= alternate("gettimeofday", 0, rounds, libc_gettimeofday, raw_gettimeofday);
#ifdef __GLIBC__ /* musl's is CLOCK_REALTIME's second, which the kernel's follows by a tick */
        failed |= alternate("time", 0, rounds, libc_time, raw_time);
#endif
#endif
        show("last", "OTHER", raw_read(CLOCK_REALTIME));
        return failed;
    }
    read_all();
    return 0;
}
