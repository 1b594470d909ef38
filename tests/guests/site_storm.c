/* Threads that are hot on a call site while it is used for the first time.
 *
 *   site_storm ROUNDS THREADS CALLS [alarms|killed]
 *
 * Each round is a fresh process that takes the next of the sites; all its threads make CALLS calls
 * there, beginning at one moment: absolute, relative and failing ones, each of whose results is known.
 * With `alarms` a handler runs every half millisecond; with `killed` somebody kills the supervisor's
 * workers, which may interrupt any call that it is about to convert. Prints
 * `calls N wrong N interrupted N broken N patched N`: `broken` is the rounds that did not end well,
 * `patched` those after which the site led to the gate by itself.
 */
#include "timed.h"
#include "sites.h"
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>

static struct totals { long calls, wrong, interrupted, broken, patched; } *total;
static const struct site *site;
static long each;
static pthread_barrier_t start;
static volatile long handled;
static int has_alarms, is_killed;

static void handle(int number)
{
    (void)number;
    __atomic_add_fetch(&handled, 1, __ATOMIC_SEQ_CST);
}

/* What kinds of calls there are, in the order in which a thread makes them. */
enum { PAST, BAD_TIME, OTHER_CLOCK, RELATIVE, NO_TIME, NOTHING_TO_DO, SOON, KINDS };

static struct timespec time_of(int kind, clockid_t clock)
{
    switch (kind) {
    case BAD_TIME:
        return (struct timespec){ 1, SECOND };
    case RELATIVE:
        return (struct timespec){ 0, 1 };
    case SOON:
        return at(now(clock) + MILLISECOND / 2);
    default:
        return at(now(clock) - SECOND);
    }
}

static long sleep_call(int kind, clockid_t clock, struct timespec *time, long *expected)
{
    *expected = kind == BAD_TIME || kind == NOTHING_TO_DO ? -EINVAL : kind == NO_TIME ? -EFAULT : 0;
    if (kind == NOTHING_TO_DO)
        clock = 99;
    return site->call(clock, kind != RELATIVE, kind == NO_TIME ? 0 : (long)time, 0, 0x77, 0x88);
}

static long futex_call(int kind, clockid_t clock, struct timespec *time, long *expected)
{
    int word = 1; /* its own: another's FUTEX_WAKE would end the wait */
    long op = FUTEX_WAIT_BITSET | (clock == CLOCK_REALTIME ? FUTEX_REALTIME : 0), value = 1;

    *expected = kind == BAD_TIME ? -EINVAL : -ETIMEDOUT;
    if (kind == RELATIVE)
        op = FUTEX_WAIT;
    if (kind == NO_TIME)
        value = 2, *expected = -EAGAIN;
    if (kind == NOTHING_TO_DO)
        op = FUTEX_WAKE, *expected = 0;
    return site->call((long)&word, op, value, (long)time, 0x77, -1);
}

/* Says what was wrong, at most a few times. */
static void complain(int kind, long result, long expected)
{
    if (__atomic_add_fetch(&total->wrong, 1, __ATOMIC_RELAXED) < 10)
        fprintf(stderr, "nr %ld, %ld before 1 << %ld, kind %d: %ld instead of %ld\n", site->nr,
                site->before, site->align, kind, result, expected);
}

/* One call, and its result: an interruption is right if a handler has run meanwhile. */
static void one(int kind, long *interrupted)
{
    clockid_t clock = kind == OTHER_CLOCK ? CLOCK_MONOTONIC : CLOCK_REALTIME;
    struct timespec time = time_of(kind, clock), unchanged = time;
    long expected, before = handled;
    long result = (site->nr == 230 ? sleep_call : futex_call)(kind, clock, &time, &expected);

    if (result == -EINTR && (handled != before || is_killed))
        ++*interrupted;
    else if (result != expected || memcmp(&time, &unchanged, sizeof time)
             || (kind == SOON && now(clock) < unchanged.tv_sec * SECOND + unchanged.tv_nsec))
        complain(kind, result, expected);
}

static void *thread(void *seed)
{
    long interrupted = 0;

    pthread_barrier_wait(&start);
    for (long i = 0; i < each; i++) {
        /* Those that arm a timer are slow, and so they come seldom. */
        static const char kinds[8] = { PAST,    BAD_TIME, NOTHING_TO_DO, BAD_TIME,
                                       NO_TIME, BAD_TIME, OTHER_CLOCK,   NO_TIME };
        int kind = kinds[((long)seed + i) % 8];

        if (i % 128 == 63)
            kind = i % 256 == 63 ? RELATIVE : SOON;
        one(kind, &interrupted);
    }
    __atomic_add_fetch(&total->calls, each, __ATOMIC_RELAXED);
    __atomic_add_fetch(&total->interrupted, interrupted, __ATOMIC_RELAXED);
    return NULL;
}

static void round_of(int threads)
{
    struct itimerval often = { { 0, 500 }, { 0, 500 } }, never = { { 0, 0 }, { 0, 0 } };
    struct sigaction action = { .sa_handler = handle, .sa_flags = SA_RESTART };
    pthread_t started[64];

    pthread_barrier_init(&start, NULL, (unsigned)threads);
    for (long i = 1; i < threads; i++)
        if (pthread_create(&started[i], NULL, thread, (void *)i))
            _exit(4);
    sigaction(SIGALRM, &action, NULL);
    if (has_alarms)
        setitimer(ITIMER_REAL, &often, NULL);
    thread(NULL);
    for (int i = 1; i < threads; i++)
        pthread_join(started[i], NULL);
    setitimer(ITIMER_REAL, &never, NULL);
    if (is_patched(site))
        __atomic_add_fetch(&total->patched, 1, __ATOMIC_RELAXED);
    _exit(0);
}

int main(int argc, char **argv)
{
    int rounds = argc > 3 ? atoi(argv[1]) : 0, threads = argc > 3 ? atoi(argv[2]) : 0, status;

    if (threads < 1 || threads > 64)
        return 2;
    each = atol(argv[3]);
    has_alarms = argc > 4 && !strcmp(argv[4], "alarms");
    is_killed = argc > 4 && !strcmp(argv[4], "killed");
    total = mmap(NULL, sizeof *total, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < rounds; i++) {
        site = &sites[i % SITES];
        pid_t pid = fork();

        if (pid == 0)
            round_of(threads);
        if (waitpid(pid, &status, 0) != pid || status) {
            fprintf(stderr, "nr %ld before %ld align %ld: status %#x\n", site->nr, site->before,
                    site->align, status);
            total->broken++;
        }
    }
    printf("calls %ld wrong %ld interrupted %ld broken %ld patched %ld\n", total->calls, total->wrong,
           total->interrupted, total->broken, total->patched);
    return total->wrong || total->broken;
}
