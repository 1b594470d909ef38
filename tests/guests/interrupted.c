/* Waits for a time and is interrupted meanwhile.
 *
 *   interrupted handler [restart]   by a handler, with or without SA_RESTART
 *   interrupted early               by a handler as soon as it is in the call, or asks for leave to make it
 *   interrupted received [restart]  by a handler as soon as somebody has received what it asks
 *   interrupted moved [restart]     likewise, in the first wait of a child in a new time namespace
 *   interrupted needless            likewise, of calls that have no need to wait
 *   interrupted stop short|long     by SIGSTOP and SIGCONT, before or after the time is reached
 *   interrupted continued           by SIGCONT alone, which has a handler
 *   interrupted jump                by a handler that leaves by siglongjmp
 *   interrupted wait N MS           by nobody here: call N waits once; prints `pid PID` first
 *
 * Prints a line for each call of the table: its result, and whether it came in time.
 */
#define _GNU_SOURCE
#include "absolute.h"
#include <sched.h>
#include <setjmp.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

static volatile sig_atomic_t handled;
static sigjmp_buf before;

static void count(int number)
{
    (void)number;
    handled++;
}

static void jump(int number)
{
    (void)number;
    handled++;
    siglongjmp(before, 1);
}

static void show(const struct wait *w, int error, const struct timespec *until, int64_t start)
{
    const char *end = when(w, until, start);

    /* An interrupted one has no time to end at, but must not have lasted. */
    if (error == EINTR && strcmp(end, "too late"))
        end = "interrupted";
    printf("%s: %s %s, handled %d\n", w->name, error_name(error), end, (int)handled);
    fflush(stdout);
}

static void once(const struct wait *w, int milliseconds)
{
    int64_t start = now(CLOCK_MONOTONIC);
    struct timespec until = from_now(w->clock, milliseconds);

    show(w, w->until(&until), &until, start);
}

static int interrupting;
static enum when interrupting_when;

/* Those that go on after a handler end at their time; the others never see it. */
static void by_a_handler(const struct wait *w)
{
    struct interruption i;
    pthread_t thread;

    handled = 0;
    thread = interrupt_me_when(interrupting_when, &i, interrupting);
    once(w, LONG);
    pthread_join(thread, NULL);
}

/* Calls that have no need to wait do what they do, and not `EINTR`. */
static void needless(const struct wait *w)
{
    struct timespec until = from_now(w->clock, LONG);
    struct interruption i;
    pthread_t thread;
    int error;

    call_is_over = 0;
    word = 1;
    if (w->until == queue_receive && mq_send(queue, "message", 8, 0))
        abort();
    thread = interrupt_me_when(RECEIVED, &i, SIGALRM);
    error = w->until(&until);
    call_is_over = 1;
    pthread_join(thread, NULL);
    printf("%s: %s\n", w->name, error_name(error));
}

/* The child reads no clock first, and makes its call at a site that is known. */
static void by_moving(const struct wait *w)
{
    struct timespec until;
    int64_t start;
    int status;
    pid_t child;

    once(w, 20);
    once(w, 20);
    start = now(CLOCK_MONOTONIC);
    until = from_now(w->clock, LONG);
    if (unshare(CLONE_NEWTIME)) {
        perror("unshare");
        exit(2);
    }
    fflush(stdout);
    handled = 0;
    child = fork();
    if (!child) {
        show(w, w->until(&until), &until, start);
        exit(0);
    }
    until_in_call(child, 1);
    kill(child, SIGALRM);
    if (waitpid(child, &status, 0) != child || status)
        printf("%s: status %d\n", w->name, status);
    /* One is enough. */
    exit(0);
}

/* The time left over belongs to relative sleeps: an absolute one leaves it alone. */
static void leaves_the_rest_alone(clockid_t clock, const char *name)
{
    struct timespec until = from_now(clock, 60000), rest = { 1234567, 89 }, copy = until;
    struct interruption i;
    pthread_t thread = interrupt_me(&i, SIGALRM);
    int error = clock_nanosleep(clock, TIMER_ABSTIME, &until, &rest);

    pthread_join(thread, NULL);
    printf("%s: %s, rest %lld %ld, %s\n", name, error_name(error), (long long)rest.tv_sec,
           rest.tv_nsec, memcmp(&copy, &until, sizeof copy) ? "changed" : "unchanged");

    until = from_now(clock, 60000);
    thread = interrupt_me(&i, SIGALRM);
    error = raw_clock_nanosleep(clock, &until, &rest);
    pthread_join(thread, NULL);
    printf("%s raw: %s, rest %lld %ld\n", name, error_name(error), (long long)rest.tv_sec,
           rest.tv_nsec);
}

static int is_long;

static void by_stopping(const struct wait *w)
{
    const struct timespec moment = { 0, 20000000 };
    int64_t end = now(CLOCK_MONOTONIC) + (LONG + 100) * 1000000LL;
    int status;
    pid_t child;

    fflush(stdout);
    child = fork();
    if (!child) {
        once(w, LONG);
        exit(0);
    }
    until_blocked(child);
    kill(child, SIGSTOP);
    if (waitpid(child, &status, WUNTRACED) != child || !WIFSTOPPED(status))
        abort();
    do
        nanosleep(&moment, NULL);
    while (is_long && now(CLOCK_MONOTONIC) < end);
    kill(child, SIGCONT);
    if (waitpid(child, &status, 0) != child || status)
        printf("%s: status %d\n", w->name, status);
}

static void by_a_jump(const struct wait *w)
{
    int64_t start = now(CLOCK_MONOTONIC);
    struct timespec until = from_now(w->clock, 60000);
    volatile int turn = 0;
    struct interruption i;
    pthread_t thread;

    /* A jump out of a wait for a condition would leave its mutex as it was. */
    if (strstr(w->name, "cond"))
        return;
    handled = 0;
    thread = interrupt_me(&i, SIGALRM);
    if (!sigsetjmp(before, 1)) {
        w->until(&until);
        turn = 1;
    }
    pthread_join(thread, NULL);
    printf("%s: %s, handled %d, %s\n", w->name, turn ? "returned" : "left", (int)handled,
           now(CLOCK_MONOTONIC) - start > LATE_SECONDS * 1000000000LL ? "too late" : "in time");
    handled = 0;
    once(w, 20);
}

/* Does this for each call that a handler ends, often, one after another: so that there is a CPU for who
 * answers.
 */
static void each_in_turn(void (*body)(const struct wait *), int times)
{
    int status;
    size_t n;

    for (; times; times--)
        for (n = 0; n < WAITS; n++) {
            if (strstr(waits[n].name, "cond") || strstr(waits[n].name, "LOCK_PI"))
                continue;
            fflush(stdout);
            if (!fork()) {
                body(&waits[n]);
                body(&waits[n]);
                exit(0);
            }
            if (wait(&status) > 0 && status)
                printf("ended with %#x\n", status);
        }
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "handler";
    const char *how = argc > 2 ? argv[2] : "";
    int times = strcmp(how, "restart") ? 5 : 1;

    prepare_waits();
    if (!strcmp(mode, "wait")) {
        printf("pid %d\n", (int)getpid());
        fflush(stdout);
        once(&waits[atoi(how) % (int)WAITS], atoi(argv[3]));
        return 0;
    }
    if (!strcmp(mode, "early"))
        interrupting_when = AT_ONCE;
    if (!strcmp(mode, "received"))
        interrupting_when = RECEIVED;
    if (interrupting_when || !strcmp(mode, "handler") || !strcmp(mode, "moved") ||
        !strcmp(mode, "needless"))
        handle(SIGALRM, count, strcmp(how, "restart") ? 0 : SA_RESTART);
    if (!strcmp(mode, "continued"))
        handle(SIGCONT, count, SA_RESTART);
    if (!strcmp(mode, "jump"))
        handle(SIGALRM, jump, 0);
    interrupting = strcmp(mode, "continued") ? SIGALRM : SIGCONT;
    is_long = !strcmp(how, "long");
    if (!strcmp(mode, "stop"))
        each_in_a_process(by_stopping);
    else if (!strcmp(mode, "jump"))
        each_in_a_process(by_a_jump);
    else if (!strcmp(mode, "moved"))
        each_in_turn(by_moving, times);
    else if (!strcmp(mode, "needless"))
        each_in_turn(needless, times);
    else if (interrupting_when)
        each_in_turn(by_a_handler, times);
    else
        each_in_a_process(by_a_handler);
    if (!strcmp(mode, "handler")) {
        leaves_the_rest_alone(CLOCK_REALTIME, "REALTIME");
        leaves_the_rest_alone(CLOCK_MONOTONIC, "MONOTONIC");
        leaves_the_rest_alone(CLOCK_BOOTTIME, "BOOTTIME");
        leaves_the_rest_alone(CLOCK_TAI, "TAI");
    }
    return 0;
}
