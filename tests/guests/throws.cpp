// Leaves waits for a time by an exception, which the handler that interrupts them throws.
//
//   throws [stack]     with the handler on a stack of its own
//
// Prints a line for each call of the table, twice: what was caught and destroyed.
#pragma GCC optimize("non-call-exceptions")
#include "absolute.h"

struct Thrown {
    int number;
};

struct Guard {
    int &destroyed;
    ~Guard() { destroyed++; }
};

static void on_signal(int number)
{
    // What it interrupts goes on with the signal unblocked.
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
    throw Thrown{number};
}

__attribute__((noinline)) static int guarded(const struct wait *w, const struct timespec *until,
                                             int &destroyed)
{
    Guard guard{destroyed};
    // A pointer that the compiler cannot follow, since some of these are said not to throw.
    int (*volatile call)(const struct timespec *) = w->until;
    return call(until);
}

static void once(const struct wait *w)
{
    struct timespec until = from_now(w->clock, 10000);
    struct interruption i;
    int destroyed = 0;
    pthread_t thread = interrupt_me(&i, SIGALRM);
    const char *result = "returned";

    try {
        guarded(w, &until, destroyed);
    } catch (const Thrown &thrown) {
        result = thrown.number == SIGALRM ? "caught" : "caught another";
    }
    pthread_join(thread, nullptr);
    printf("%s: %s, destroyed %d\n", w->name, result, destroyed);
    fflush(stdout);
}

int main(int argc, char **)
{
    stack_t stack = {};

    prepare_waits();
    stack.ss_size = 65536;
    stack.ss_sp = malloc(stack.ss_size);
    if (sigaltstack(&stack, nullptr))
        return 2;
    handle(SIGALRM, on_signal, argc > 1 ? SA_ONSTACK : 0);
    for (size_t n = 0; n < 2 * WAITS; n++) {
        const struct wait *w = &waits[n % WAITS];

        // Those that are said not to throw would end the program, and one holds a lock.
        if (strncmp(w->name, "futex", 5) && !strstr(w->name, "cond"))
            once(w);
    }
}
