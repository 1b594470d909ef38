/* Reads the clocks in a handler that interrupts a wait, and in code that siglongjmp reaches from it.
 *
 *   handlers read        each call of the table, interrupted by a handler that reads all clocks
 *   handlers jump        the same, and the handler leaves by siglongjmp; then all clocks are read
 *   handlers stack       as `read`, with the handler on a stack of its own
 *   handlers nested      the handler itself waits for a time, by the same call
 *   handlers timeouts    a queue of timeouts as in a database server: the handler reads the time of
 *                        day and sets the interval timer to what is left; 100 times
 *
 * Prints `CLOCK SEC.NSEC` for one reading of each clock in a handler, and what is wrong.
 */
#define _GNU_SOURCE
#include "absolute.h"
#include <setjmp.h>
#include <sys/time.h>

static const struct { const char *name; clockid_t id; } clocks[] = {
    { "REALTIME", CLOCK_REALTIME }, { "TAI", CLOCK_TAI },
    { "MONOTONIC", CLOCK_MONOTONIC }, { "BOOTTIME", CLOCK_BOOTTIME },
};

#define CLOCKS (sizeof clocks / sizeof *clocks)

struct reading {
    int64_t libc[CLOCKS], raw[CLOCKS], day, seconds;
};

static struct reading before, inside;
static volatile sig_atomic_t handled;
static volatile int is_jumping, is_nested;
static sigjmp_buf out;
static const struct wait *present;

static struct reading readings(void)
{
    struct reading r;
    struct timespec t;
    struct timeval day;
    size_t n;

    for (n = 0; n < CLOCKS; n++) {
        r.libc[n] = now(clocks[n].id);
        if (syscall(SYS_clock_gettime, clocks[n].id, &t))
            abort();
        r.raw[n] = nanos(t);
    }
    gettimeofday(&day, NULL);
    r.day = day.tv_sec * 1000000000LL + day.tv_usec * 1000LL;
    r.seconds = time(NULL);
    return r;
}

/* All that is read within a moment after `a` is near it. */
static void compare(const char *what, const struct reading *a, const struct reading *b)
{
    const int64_t most = LATE_SECONDS * 1000000000LL;
    size_t n;

    for (n = 0; n < CLOCKS; n++) {
        int64_t libc = b->libc[n] - a->libc[n], raw = b->raw[n] - b->libc[n];

        if (libc < 0 || libc > most)
            printf("%s: %s moved by %lld s\n", what, clocks[n].name, (long long)libc / 1000000000);
        if (raw < 0 || raw > most)
            printf("%s: the system call's %s differs by %lld s\n", what, clocks[n].name,
                   (long long)raw / 1000000000);
    }
    /* Microseconds, and a second of the tick before. */
    if (b->day - b->libc[0] < -1000 || b->day - b->libc[0] > most)
        printf("%s: gettimeofday differs by %lld ns\n", what, (long long)(b->day - b->libc[0]));
    if (b->seconds - b->libc[0] / 1000000000 < -1 || b->seconds - b->libc[0] / 1000000000 > 20)
        printf("%s: time differs\n", what);
}

static void on_signal(int number)
{
    (void)number;
    inside = readings();
    handled++;
    if (is_nested) {
        struct timespec until = from_now(present->clock, 30);
        int error = present->until(&until);

        printf("%s in the handler: %s%s\n", present->name, error_name(error),
               now(present->clock) < nanos(until) ? ", before its time" : "");
    }
    if (is_jumping)
        siglongjmp(out, 1);
}

static void wait_once(const struct wait *w)
{
    struct timespec until;
    struct interruption i;
    struct reading after;
    pthread_t thread;
    int64_t start;
    volatile int error = -1;
    size_t n;

    /* Its mutex would be left locked, or be locked twice. */
    if (strstr(w->name, "cond") && (is_jumping || is_nested))
        return;
    present = w;
    handled = 0;
    before = readings();
    start = now(CLOCK_MONOTONIC);
    until = from_now(w->clock, is_jumping ? 60000 : LONG);
    thread = interrupt_me(&i, SIGALRM);
    if (!sigsetjmp(out, 1))
        error = w->until(&until);
    after = readings();
    pthread_join(thread, NULL);
    if (handled != 1)
        printf("%s: handled %d\n", w->name, (int)handled);
    compare("in the handler", &before, &inside);
    compare("after it", &inside, &after);
    printf("%s: %s\n", w->name, is_jumping && error < 0 ? "left" : error_name(error));
    if (now(CLOCK_MONOTONIC) - start > LATE_SECONDS * 1000000000LL)
        printf("%s: too late\n", w->name);
    for (n = 0; w == waits && n < CLOCKS; n++)
        printf("reading %s %lld.%09lld\n", clocks[n].name, (long long)inside.raw[n] / 1000000000,
               (long long)inside.raw[n] % 1000000000);
}

static int64_t due;
static volatile sig_atomic_t fired, set_again;

static void set_timer(void)
{
    struct itimerval left = { { 0, 0 }, { 0, 0 } };
    int64_t rest = (due - now(CLOCK_REALTIME)) / 1000;

    left.it_value.tv_sec = rest / 1000000;
    left.it_value.tv_usec = rest > 0 ? rest % 1000000 : 0;
    if (rest <= 0) {
        left.it_value.tv_sec = 0;
        left.it_value.tv_usec = 1;
    }
    setitimer(ITIMER_REAL, &left, NULL);
}

static void on_timeout(int number)
{
    (void)number;
    if (now(CLOCK_REALTIME) >= due)
        fired = 1;
    else {
        set_again++;
        set_timer();
    }
}

static void timeouts(void)
{
    int n, late = 0;

    handle(SIGALRM, on_timeout, SA_RESTART);
    for (n = 0; n < 100; n++) {
        const struct wait *w = &waits[n % WAITS];
        int64_t start = now(CLOCK_MONOTONIC);

        fired = set_again = 0;
        due = now(CLOCK_REALTIME) + 5000000;
        set_timer();
        while (!fired) {
            struct timespec until = from_now(w->clock, 20);

            w->until(&until);
            if (now(CLOCK_MONOTONIC) - start > LATE_SECONDS * 1000000000LL) {
                printf("a timeout under %s came too late\n", w->name);
                late = 1;
                break;
            }
        }
        if (now(CLOCK_REALTIME) < due && !late)
            printf("a timeout under %s came before its time\n", w->name);
        if (set_again > 3)
            printf("a timer was set again %d times\n", (int)set_again);
    }
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "read";
    stack_t stack;

    prepare_waits();
    if (!strcmp(mode, "timeouts")) {
        timeouts();
        return 0;
    }
    is_jumping = !strcmp(mode, "jump");
    is_nested = !strcmp(mode, "nested");
    memset(&stack, 0, sizeof stack);
    if (!strcmp(mode, "stack")) {
        stack.ss_size = 65536;
        stack.ss_sp = malloc(stack.ss_size);
        if (sigaltstack(&stack, NULL))
            abort();
    }
    handle(SIGALRM, on_signal, stack.ss_sp ? SA_ONSTACK : 0);
    each_in_a_process(wait_once);
    return 0;
}
