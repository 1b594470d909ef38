/* Unwinds the stack from within waits for a time: who has called?
 *
 *   unwind backtrace [stack]   a handler that interrupts the wait asks backtrace(3); each call of the
 *                              table twice; `stack`: the handler has a stack of its own
 *   unwind step                a handler that runs after each single instruction of a wait whose time
 *                              is past asks too, and waits itself; each call three times
 *   unwind wait N MS           call N once, for MS milliseconds; prints `pid PID` first
 *   unwind raise N             the same, interrupted by SIGUSR1 after half a second
 *
 * Prints for each call the functions of this program that are on the stack, innermost first.
 */
#define _GNU_SOURCE
#include "absolute.h"
#include "step.h"
#include <dlfcn.h>
#include <execinfo.h>
#include <sys/prctl.h>

#define DEPTH 64

static void *frames[DEPTH];
static volatile int depth;
static volatile int will_step, is_stepping;
static volatile long steps, incomplete, wrong;
static struct timespec long_past;
static char strangest[512];

#define CALLER __attribute__((noinline, noclone, visibility("default")))

int gamma_waits(const struct wait *w, const struct timespec *until);
int beta_calls(const struct wait *w, const struct timespec *until);
int alpha_calls(const struct wait *w, const struct timespec *until);

/* None of these is a tail call. */
/* Its frame is found by rbp, also while `step` moves rsp. */
CALLER __attribute__((optimize("no-omit-frame-pointer"))) int gamma_waits(const struct wait *w,
                                                                          const struct timespec *until)
{
    int error;

    if (will_step) {
        is_stepping = 1;
        step(1);
    }
    error = w->until(until);
    if (will_step) {
        step(0);
        is_stepping = 0;
    }
    return error;
}

CALLER int beta_calls(const struct wait *w, const struct timespec *until)
{
    volatile char room[100];
    int error;

    room[0] = 1;
    error = gamma_waits(w, until);
    __asm__ volatile("" : "+r"(error));
    return error + room[0] - 1;
}

CALLER int alpha_calls(const struct wait *w, const struct timespec *until)
{
    int error = beta_calls(w, until);

    __asm__ volatile("" : "+r"(error));
    return error;
}

static const char *const callers[] = { "gamma_waits", "beta_calls", "alpha_calls", "main" };

static const char *function(void *address)
{
    Dl_info info;

    /* A return address may lie behind its function. */
    if (dladdr((char *)address - 1, &info) && info.dli_sname)
        return info.dli_sname;
    return "?";
}

/* How many of the callers are there, in their order. */
static int known(void)
{
    int n, found = 0;

    for (n = 0; n < depth && found < 4; n++)
        if (!strcmp(function(frames[n]), callers[found]))
            found++;
    return found;
}

static void on_signal(int number)
{
    (void)number;
    depth = backtrace(frames, DEPTH);
}

static void on_step(int number)
{
    int n;

    (void)number;
    if (!is_stepping)
        return;
    steps++;
    /* A wait within the wait, at each of its instructions. */
    if (raw_clock_nanosleep(CLOCK_REALTIME, &long_past, NULL))
        wrong++;
    depth = backtrace(frames, DEPTH);
    if (known() == 4)
        return;
    if (!incomplete++)
        for (n = 0; n < depth; n++)
            snprintf(strangest + strlen(strangest), sizeof strangest - strlen(strangest), " %s",
                     function(frames[n]));
}

static void show(const struct wait *w)
{
    int n;

    printf("%s:", w->name);
    for (n = 0; n < depth; n++) {
        const char *name = function(frames[n]);

        if (!strcmp(name, "gamma_waits") || !strcmp(name, "beta_calls") ||
            !strcmp(name, "alpha_calls") || !strcmp(name, "main"))
            printf(" %s", name);
    }
    printf("\n");
    fflush(stdout);
}

static void by_backtrace(const struct wait *w)
{
    struct timespec until = from_now(w->clock, LONG);
    struct interruption i;
    pthread_t thread = interrupt_me(&i, SIGALRM);

    depth = 0;
    alpha_calls(w, &until);
    pthread_join(thread, NULL);
    show(w);
}

static void by_steps(const struct wait *w)
{
    struct timespec past = from_now(w->clock, -1000);

    int error;

    steps = incomplete = wrong = 0;
    strangest[0] = 0;
    long_past = from_now(CLOCK_REALTIME, -1000);
    will_step = 1;
    error = alpha_calls(w, &past);
    will_step = 0;
    printf("%s: %s %s, %ld wrong, %ld incomplete%s\n", w->name, error_name(error),
           steps > 5 ? "stepped" : "not stepped", wrong, incomplete, strangest);
    fprintf(stderr, "%s: %ld steps\n", w->name, steps);
    fflush(stdout);
}

/* Comes back when the thread has been in a call that waits for a while: under a debugger it need not sleep
 * there, as a supervisor may answer it.
 */
static void until_called(pid_t tid)
{
    static const long calls[] = { SYS_clock_nanosleep, SYS_futex, SYS_mq_timedsend, SYS_mq_timedreceive };
    const struct timespec moment = { 0, 10000000 };
    char text[64];
    int seen = 0;

    while (seen < 30) {
        int waits = 0;
        size_t n;

        if (thread_file(tid, "syscall", text, sizeof text) < 0)
            return;
        for (n = 0; n < sizeof calls / sizeof *calls; n++)
            waits |= text[0] >= '0' && text[0] <= '9' && atol(text) == calls[n];
        seen = waits ? seen + 1 : 0;
        nanosleep(&moment, NULL);
    }
}

static void *interrupt_later(void *arg)
{
    struct interruption *i = (struct interruption *)arg;

    until_called(i->tid);
    syscall(SYS_tgkill, getpid(), i->tid, i->number);
    return NULL;
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "backtrace";
    const char *how = argc > 2 ? argv[2] : "";
    struct timespec until;
    size_t n;

    prepare_waits();
    /* The first one loads the unwinder. */
    depth = backtrace(frames, DEPTH);
    if (!strcmp(mode, "backtrace")) {
        stack_t stack;

        memset(&stack, 0, sizeof stack);
        stack.ss_size = 65536;
        stack.ss_sp = malloc(stack.ss_size);
        if (sigaltstack(&stack, NULL))
            return 2;
        handle(SIGALRM, on_signal, strcmp(how, "stack") ? 0 : SA_ONSTACK);
        each_in_a_process(by_backtrace);
    } else if (!strcmp(mode, "step")) {
        handle(SIGTRAP, on_step, 0);
        for (n = 0; n < 3 * WAITS; n++)
            by_steps(&waits[n % WAITS]);
    } else {
        const struct wait *w = &waits[(size_t)atoi(how) % WAITS];
        struct interruption i;
        int64_t start = now(CLOCK_MONOTONIC);
        int error;

        /* The tracer need not be an ancestor. */
        prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
        printf("pid %d\n", (int)getpid());
        fflush(stdout);
        if (!strcmp(mode, "raise")) {
            pthread_t thread;

            i.tid = getpid();
            i.number = SIGUSR1;
            if (pthread_create(&thread, NULL, interrupt_later, &i))
                abort();
        }
        until = from_now(w->clock, !strcmp(mode, "wait") ? atoi(argv[3]) : 60000);
        error = alpha_calls(w, &until);
        if (!strcmp(mode, "wait"))
            printf("%s: %s %s\n", w->name, error_name(error), when(w, &until, start + atoi(argv[3]) * 1000000LL));
    }
    return 0;
}
