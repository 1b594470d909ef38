/* Waits for a time with whatever an earlier call has left in the registers that the wait's own does
 * not use.
 *
 *   inherited
 *
 * Prints a line for each clock that was read before: how the wait ended.
 */
#define _GNU_SOURCE
#include "absolute.h"

static volatile sig_atomic_t nested, is_early;
/* Soon after the signal. By a clock that is behind the host's: for the host it is long past. */
static struct timespec due;

/* Its registers are those of the call that it interrupts; it waits before it uses them. */
static void on_signal(int number)
{
    (void)number;
    nested = raw_clock_nanosleep(CLOCK_REALTIME, &due, NULL) + 1;
    is_early = now(CLOCK_REALTIME) < nanos(due);
}

static void interrupted(const struct wait *w)
{
    struct timespec until = from_now(w->clock, LONG);
    struct interruption i;
    pthread_t thread;

    nested = 0;
    due = from_now(CLOCK_REALTIME, 500);
    thread = interrupt_me(&i, SIGALRM);
    w->until(&until);
    pthread_join(thread, NULL);
    printf("%s: %s\n", w->name,
           nested != 1 ? "wrong" : is_early ? "too early in its handler" : "in its handler as well");
}

int main(void)
{
    static const clockid_t before[] = { CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID,
                                        CLOCK_THREAD_CPUTIME_ID, CLOCK_MONOTONIC_RAW, 8 };
    size_t n, turn;

    prepare_waits();
    for (turn = 0; turn < 2; turn++)
        for (n = 0; n < sizeof before / sizeof *before; n++) {
            int64_t start = now(CLOCK_MONOTONIC);
            struct timespec until = from_now(CLOCK_REALTIME, 20), other;
            int error, raw;

            clock_gettime(before[n], &other);
            error = clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &until, NULL);
            clock_gettime(before[n], &other);
            raw = raw_clock_nanosleep(CLOCK_REALTIME, &until, NULL);
            printf("after clock %d: %d %d, %s\n", (int)before[n], error, raw,
                   when(&waits[0], &until, start));
            fflush(stdout);
        }
    handle(SIGALRM, on_signal, 0);
    each_in_a_process(interrupted);
    return 0;
}
