/* Tries to move the clock in every way and prints `ATTEMPT ERRNO` for each (0: it was allowed).
 *
 *   setters SEC           SEC: the second to set, a few beyond the host's own time, so that a
 *                         move which gets through is small and can be put back
 *   setters int80 SEC     the same through the i386 table
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#define NOWHERE ((void *)8)

static void show(const char *attempt, long result)
{
    printf("%s %d\n", attempt, result < 0 ? errno : 0);
    fflush(stdout);
}

static struct timex modes(unsigned bits)
{
    struct timex now;

    /* What is written is what was read, so that nothing changes if it gets through. */
    memset(&now, 0, sizeof now);
    syscall(SYS_adjtimex, &now);
    now.modes = bits;
    return now;
}

static void adjust(const char *name, struct timex change)
{
    struct timex copy = change;
    char attempt[64];

    snprintf(attempt, sizeof attempt, "adjtimex.%s", name);
    show(attempt, syscall(SYS_adjtimex, &copy) < 0 ? -1 : 0);
    copy = change;
    snprintf(attempt, sizeof attempt, "clock_adjtime.%s", name);
    show(attempt, syscall(SYS_clock_adjtime, CLOCK_REALTIME, &copy) < 0 ? -1 : 0);
}

static void set_clocks(time_t sec)
{
    static const int ids[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 99, -1 };
    struct timespec good = { sec, 0 }, wrong = { sec, 1000000000 }, negative = { -1, 0 };
    char attempt[64];
    unsigned i;

    for (i = 0; i < sizeof ids / sizeof *ids; i++) {
        snprintf(attempt, sizeof attempt, "clock_settime.%d", ids[i]);
        show(attempt, syscall(SYS_clock_settime, ids[i], &good));
        snprintf(attempt, sizeof attempt, "clock_settime.%d.pointer", ids[i]);
        show(attempt, syscall(SYS_clock_settime, ids[i], NOWHERE));
        snprintf(attempt, sizeof attempt, "clock_settime.%d.null", ids[i]);
        show(attempt, syscall(SYS_clock_settime, ids[i], NULL));
    }
    show("clock_settime.nanoseconds", syscall(SYS_clock_settime, 0, &wrong));
    show("clock_settime.negative", syscall(SYS_clock_settime, 0, &negative));
    show("clock_settime.libc", clock_settime(CLOCK_REALTIME, &good));
}

static void set_days(time_t sec)
{
    struct timeval good = { sec, 0 }, wrong = { sec, 1000001 }, negative = { -1, 0 };
    struct timezone utc = { 0, 0 }, far = { 24 * 60, 0 };

    show("settimeofday", syscall(SYS_settimeofday, &good, NULL));
    show("settimeofday.zone", syscall(SYS_settimeofday, NULL, &utc));
    show("settimeofday.both", syscall(SYS_settimeofday, &good, &utc));
    show("settimeofday.far_zone", syscall(SYS_settimeofday, NULL, &far));
    show("settimeofday.microseconds", syscall(SYS_settimeofday, &wrong, NULL));
    show("settimeofday.negative", syscall(SYS_settimeofday, &negative, NULL));
    show("settimeofday.pointer", syscall(SYS_settimeofday, NOWHERE, NULL));
    show("settimeofday.zone_pointer", syscall(SYS_settimeofday, NULL, NOWHERE));
    show("settimeofday.null", syscall(SYS_settimeofday, NULL, NULL));
    show("settimeofday.libc", settimeofday(&good, NULL));
}

static void adjust_clocks(void)
{
    static const int ids[] = { 1, 2, 4, 5, 7, 11, 99, -1 };
    struct timex change = modes(ADJ_SETOFFSET), read;
    char attempt[64];
    unsigned i;

    memset(&read, 0, sizeof read);
    adjust("read", read);
    change.time.tv_sec = 5;
    change.time.tv_usec = 0;
    adjust("offset_by_5", change);
    adjust("frequency", modes(ADJ_FREQUENCY));
    adjust("tick", modes(ADJ_TICK));
    adjust("status", modes(ADJ_STATUS));
    adjust("maxerror", modes(ADJ_MAXERROR));
    adjust("constant", modes(ADJ_TIMECONST));
    adjust("resolution", modes(modes(0).status & STA_NANO ? ADJ_NANO : ADJ_MICRO));
    adjust("read_singleshot", modes(ADJ_OFFSET_SS_READ));
    change = modes(ADJ_OFFSET_SINGLESHOT);
    change.offset = 0;
    adjust("singleshot", change);
    change = modes(ADJ_TICK);
    change.tick = 1;
    adjust("wrong_tick", change);
    show("adjtimex.pointer", syscall(SYS_adjtimex, NOWHERE));
    show("clock_adjtime.pointer", syscall(SYS_clock_adjtime, 0, NOWHERE));
    for (i = 0; i < sizeof ids / sizeof *ids; i++) {
        change = modes(ADJ_FREQUENCY);
        snprintf(attempt, sizeof attempt, "clock_adjtime.%d", ids[i]);
        show(attempt, syscall(SYS_clock_adjtime, ids[i], &change) < 0 ? -1 : 0);
        snprintf(attempt, sizeof attempt, "clock_adjtime.%d.pointer", ids[i]);
        show(attempt, syscall(SYS_clock_adjtime, ids[i], NOWHERE) < 0 ? -1 : 0);
    }
}

static int int80(long nr, long a, long b)
{
    long result;

    __asm__ volatile("int $0x80" : "=a"(result) : "0"(nr), "b"(a), "c"(b)
                     : "r8", "r9", "r10", "r11", "memory");
    return (int)result;
}

static void show80(const char *attempt, int result)
{
    printf("int80.%s %d\n", attempt, result < 0 ? -result : 0);
    fflush(stdout);
}

/* i386 pointers have 32 bits, and so have the older calls' times. */
static int through_int80(int sec)
{
    int *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT,
                     -1, 0);
    int *narrow = page, *timex = page + 64;
    long long *wide = (long long *)(page + 512);
    struct timex *timex64 = (struct timex *)(page + 256);
    long at = (long)narrow, adjust = (long)timex;

    if (page == MAP_FAILED)
        return 2;
    narrow[0] = sec;
    wide[0] = sec;
    show80("stime", int80(25, at, 0));
    show80("stime.pointer", int80(25, 8, 0));
    show80("settimeofday", int80(79, at, 0));
    show80("settimeofday.pointer", int80(79, 8, 0));
    show80("clock_settime", int80(264, 0, at));
    show80("clock_settime.pointer", int80(264, 0, 8));
    show80("clock_settime.1", int80(264, 1, at));
    show80("clock_settime64", int80(404, 0, (long)wide));
    show80("clock_settime64.pointer", int80(404, 0, 8));
    show80("clock_settime64.1", int80(404, 1, (long)wide));
    memset(timex, 0, 128);
    timex[0] = ADJ_SETOFFSET;
    timex[9] = 5;
    show80("adjtimex", int80(124, adjust, 0));
    show80("adjtimex.pointer", int80(124, 8, 0));
    show80("clock_adjtime", int80(343, 0, adjust));
    show80("clock_adjtime.pointer", int80(343, 0, 8));
    show80("clock_adjtime.1", int80(343, 1, adjust));
    memset(timex64, 0, sizeof *timex64);
    timex64->modes = ADJ_SETOFFSET;
    timex64->time.tv_sec = 5;
    show80("clock_adjtime64", int80(405, 0, (long)timex64));
    show80("clock_adjtime64.pointer", int80(405, 0, 8));
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "int80"))
        return through_int80(atoi(argv[2]));
    if (argc != 2)
        return 2;
    set_clocks(atoll(argv[1]));
    set_days(atoll(argv[1]));
    adjust_clocks();
    return 0;
}
