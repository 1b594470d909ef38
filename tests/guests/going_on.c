/* Waits for the next tenth of a second of CLOCK_MONOTONIC again and again, by an absolute time, and
 * writes what the clocks read then, one line a tick, to the file named first:
 *
 *   DEADLINE MONOTONIC BOOTTIME REALTIME TAI
 *
 * in nanoseconds. A clock that steps back, or a wait that ends too early or fails, is a line with a word. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { TENTH = 100000000 };

static long long now(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int out;

static void say(const char *line)
{
    if (write(out, line, strlen(line)) < 0)
        _exit(1);
}

int main(int argc, char **argv)
{
    char line[200];
    if (argc != 2 || (out = open(argv[1], O_WRONLY | O_CREAT | O_APPEND, 0644)) < 0)
        return 2;
    long long deadline = now(CLOCK_MONOTONIC) / TENTH * TENTH, last = 0;
    for (;;) {
        deadline += TENTH;
        struct timespec t = { deadline / 1000000000, deadline % 1000000000 };
        int error = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
        long long monotonic = now(CLOCK_MONOTONIC);
        if (error) {
            snprintf(line, sizeof line, "failed with %d\n", error);
            say(line);
        }
        if (monotonic < deadline)
            say("early\n");
        if (monotonic < last)
            say("back\n");
        /* After a pause the clock may be far ahead: each tick that it has missed comes at once. */
        snprintf(line, sizeof line, "%lld %lld %lld %lld %lld\n", deadline, monotonic,
                 now(CLOCK_BOOTTIME), now(CLOCK_REALTIME), now(CLOCK_TAI));
        say(line);
        /* Reads without a pause: a dump may come amid one. */
        for (int i = 0; i < 20000; i++) {
            last = monotonic;
            monotonic = now(CLOCK_MONOTONIC);
            if (monotonic < last)
                say("back\n");
        }
        last = monotonic;
    }
}
