/* Counts, and sleeps on an absolute CLOCK_MONOTONIC deadline between.
 *
 *   ticks PERIOD     milliseconds; prints a line a tick: its number, then what MONOTONIC, BOOTTIME and
 *                    REALTIME read, in seconds, then `back` if one of them has gone back since
 *                    the last tick or `early` if the sleep has ended before its deadline
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const clockid_t clocks[] = { CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_REALTIME };

static int is_before(struct timespec a, struct timespec b)
{
    return a.tv_sec < b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec < b.tv_nsec);
}

int main(int argc, char **argv)
{
    long period = argc > 1 ? atol(argv[1]) * 1000000 : 0;
    struct timespec deadline, last[3] = { { 0, 0 } };

    if (period <= 0 || clock_gettime(CLOCK_MONOTONIC, &deadline))
        return 2;
    for (unsigned long long tick = 1;; tick++) {
        int error, back = 0;

        deadline.tv_nsec += period;
        deadline.tv_sec += deadline.tv_nsec / 1000000000;
        deadline.tv_nsec %= 1000000000;
        do
            error = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &deadline, NULL);
        while (error == EINTR);
        if (error)
            return 1;
        printf("%llu", tick);
        for (int i = 0; i < 3; i++) {
            struct timespec now;

            if (clock_gettime(clocks[i], &now))
                return 1;
            back |= is_before(now, last[i]);
            last[i] = now;
            printf(" %lld.%09ld", (long long)now.tv_sec, now.tv_nsec);
        }
        printf("%s%s\n", back ? " back" : "", is_before(last[0], deadline) ? " early" : "");
        if (fflush(stdout))
            return 1;
    }
}
