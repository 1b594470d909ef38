/* Arms timers that are not to go off, in several ways, and writes again and again by how much later than
 * it was to each would go off, by CLOCK_MONOTONIC and in nanoseconds, to the file named first:
 *
 *   WAY LATE
 *
 * That is what is left of it, and what the clock reads just then, less what it was set to. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { TIMER, TIMER_RELATIVE, TIMERFD, TIMERFD_RELATIVE, ITIMER, WAYS };

static const char *const names[WAYS] = { "timer", "timer-relative", "timerfd", "timerfd-relative",
                                         "itimer" };
static timer_t timers[2];
static int fds[2];

static long long nanos(struct timespec t)
{
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static long long now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return nanos(t);
}

static long long left(int way)
{
    struct itimerspec spec = { 0 };
    struct itimerval val;
    switch (way) {
    case TIMER:
    case TIMER_RELATIVE:
        timer_gettime(timers[way], &spec);
        break;
    case TIMERFD:
    case TIMERFD_RELATIVE:
        timerfd_gettime(fds[way - TIMERFD], &spec);
        break;
    default:
        getitimer(ITIMER_REAL, &val);
        return val.it_value.tv_sec * 1000000000LL + val.it_value.tv_usec * 1000LL;
    }
    return nanos(spec.it_value);
}

static long long set(int way)
{
    enum { FAR = 3000 };
    struct itimerspec spec = { .it_value = { FAR, 0 } };
    struct itimerval val = { .it_value = { FAR, 0 } };
    struct sigevent none = { .sigev_notify = SIGEV_NONE };
    int absolute = way == TIMER || way == TIMERFD;
    long long at = now() + FAR * 1000000000LL;
    if (absolute)
        spec.it_value = (struct timespec){ at / 1000000000, at % 1000000000 };
    switch (way) {
    case TIMER:
    case TIMER_RELATIVE:
        timer_create(CLOCK_MONOTONIC, &none, &timers[way]);
        timer_settime(timers[way], absolute ? TIMER_ABSTIME : 0, &spec, NULL);
        break;
    case TIMERFD:
    case TIMERFD_RELATIVE:
        fds[way - TIMERFD] = timerfd_create(CLOCK_MONOTONIC, 0);
        timerfd_settime(fds[way - TIMERFD], absolute ? TFD_TIMER_ABSTIME : 0, &spec, NULL);
        break;
    default:
        setitimer(ITIMER_REAL, &val, NULL);
    }
    /* A relative one was set a moment later. */
    return absolute ? at : at + (now() + FAR * 1000000000LL - at) / 2;
}

int main(int argc, char **argv)
{
    long long at[WAYS];
    char line[80];
    int out;
    if (argc != 2 || (out = open(argv[1], O_WRONLY | O_CREAT | O_APPEND, 0644)) < 0)
        return 2;
    for (int way = 0; way < WAYS; way++)
        for (long long begun, done = 0; !done;) {
            begun = now();
            at[way] = set(way);
            done = now() - begun < 5000000;
        }
    for (;;) {
        for (int way = 0; way < WAYS; way++) {
            long long before, after, rest;
            /* Nothing may come between: not the scheduler, and no dump. */
            do {
                before = now();
                rest = left(way);
                after = now();
            } while (after - before > 1000000);
            snprintf(line, sizeof line, "%s %lld\n", names[way], before + (after - before) / 2 + rest - at[way]);
            if (write(out, line, strlen(line)) < 0)
                return 1;
        }
        usleep(50000);
    }
}
