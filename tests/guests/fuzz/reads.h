/* Calls that read a clock, or would set one. */
#ifndef FUZZ_READS_H
#define FUZZ_READS_H

#include "times.h"

/* The last time that each clock told: none goes back, whichever way it is read. */
static long long told[12];

static const char *judge(int clock, struct timespec time)
{
    long long at = nanos(time), before;

    if (time.tv_nsec < 0 || time.tv_nsec >= SECOND)
        return "NO TIME";
    if (clock < 0 || clock > 11)
        return "told";
    before = told[clock];
    told[clock] = at;
    if (at < before)
        return "BACK";
    return before && at - before > 60 * SECOND ? "JUMPED" : "on";
}

static void read_clock(const char *how, int clock)
{
    struct timespec time = { -1, -1 };
    long result;

    if (!strcmp(how, "get")) {
        result = clock_gettime(clock, &time);
    } else if (!strcmp(how, "raw")) {
        result = syscall(SYS_clock_gettime, clock, &time);
    } else {
        /* clock_gettime64 of i386, whose pointers have 32 bits. */
        static struct timespec *low;
        int returned;

        if (!low)
            low = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
        *low = time;
        __asm__ volatile("int $0x80" : "=a"(returned) : "0"(403), "b"(clock), "c"(low)
                         : "r8", "r9", "r10", "r11", "memory");
        time = *low;
        errno = -returned;
        result = returned < 0 ? -1 : 0;
    }
    if (result)
        say("%s", error_name(result));
    else
        say("0 %s", judge(clock, time));
}

static void read_badly(int clock, const char *address)
{
    say("%s", error_name(syscall(SYS_clock_gettime, clock, bad_address(address))));
}

static void resolution(int clock)
{
    struct timespec step = { 0, 0 };
    long result = clock_getres(clock, &step);

    say("%s %ld %ld", error_name(result), (long)step.tv_sec, step.tv_nsec);
}

static void set_clock(int clock, const char *word)
{
    struct given given;

    give(&given, word, clock, 1, -1);
    say("%s", error_name(syscall(SYS_clock_settime, clock, given.at)));
}

static void set_time_of_day(const char *time, const char *zone)
{
    struct timeval now;
    void *at = &now;

    gettimeofday(&now, NULL);
    if (strcmp(time, "now"))
        at = bad_address(time);
    say("%s", error_name(syscall(SYS_settimeofday, at, bad_address(zone))));
}

static void time_of_day(void)
{
    struct timespec coarse = now_of(CLOCK_REALTIME_COARSE), before = now_of(CLOCK_REALTIME), after;
    struct timeval now;
    time_t second;

    gettimeofday(&now, NULL);
    after = now_of(CLOCK_REALTIME);
    say("%s", now.tv_sec * SECOND + now.tv_usec * 1000 > nanos(before) - 1000 &&
                      now.tv_sec * SECOND + now.tv_usec * 1000 <= nanos(after)
                  ? "between" : "OUTSIDE");
    second = time(NULL);
    after = now_of(CLOCK_REALTIME);
    say("%s", second >= coarse.tv_sec && second <= after.tv_sec ? "the second"
                                                                : "ANOTHER SECOND");
}

static void adjust(int clock, unsigned modes)
{
    struct timex asked;
    long long now = nanos(now_of(CLOCK_REALTIME)), then;
    long result;

    memset(&asked, 0, sizeof asked);
    asked.modes = modes;
    result = clock < 0 ? syscall(SYS_adjtimex, &asked)
                       : syscall(SYS_clock_adjtime, clock, &asked);
    then = asked.time.tv_sec * SECOND +
           asked.time.tv_usec * (asked.status & 0x2000 ? 1LL : 1000LL);
    if (result < 0)
        say("%s", error_name(result));
    else
        say("%s", then >= now - 1000 && then < now + 60 * SECOND ? "now" : "ANOTHER TIME");
}

static void uptime(void)
{
    struct sysinfo info;
    struct timespec before = now_of(CLOCK_BOOTTIME), after;

    sysinfo(&info);
    after = now_of(CLOCK_BOOTTIME);
    say("%s", (time_t)info.uptime >= before.tv_sec && (time_t)info.uptime <= after.tv_sec + 1 ? "agrees"
                                                                              : "ANOTHER TIME");
}

#endif
