/* The body of `cancel.c` and of `cancel.cpp`. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "absolute.h"
/* For each wait by itself. */
#define BOUND 40
#include "bounded.h"
#include "lost.h"
#include "step.h"
#include <sched.h>
#include <ucontext.h>

struct job {
    const struct wait *wait;
    clockid_t clock;
    int64_t from_now; /* nanoseconds */
    int is_asynchronous, is_disabled, is_stepping;
    volatile pid_t tid;
    volatile int started, cleaned, destroyed, error;
};

#ifdef __cplusplus
struct Guard {
    struct job *job;
    ~Guard() { job->destroyed = job->destroyed + 1; }
};
#endif

static void clean(void *arg)
{
    struct job *job = (struct job *)arg;

    job->cleaned = job->cleaned + 1;
}

/* The calls of the table that are cancellation points; the mutex is to be held in the handler. */
static int is_point(const struct wait *w)
{
    return strncmp(w->name, "futex", 5) && strncmp(w->name, "raw", 3);
}

static void unlock(void *arg)
{
    (void)arg;
    if (pthread_mutex_unlock(&mutex))
        abort();
}

static int holding_the_mutex(const struct wait *w, const struct timespec *t)
{
    int error;

    pthread_mutex_lock(&mutex);
    pthread_cleanup_push(unlock, NULL);
#ifdef __GLIBC__
    if (w->clock == CLOCK_MONOTONIC)
        error = pthread_cond_clockwait(&condition, &mutex, CLOCK_MONOTONIC, t);
    else
#endif
        error = pthread_cond_timedwait(&condition, &mutex, t);
    pthread_cleanup_pop(1);
    (void)w;
    return error;
}

/* After how many instructions of the wait the thread cancels itself, and how many there were. */
static volatile long cancel_after, steps;

static void on_step(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)info;
    steps = steps + 1;
    if (steps == cancel_after) {
        /* No more steps: the C library blocks all signals when a thread ends. */
        ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~0x100LL;
        pthread_cancel(pthread_self());
    }
}

/* Its frame is found by rbp, also while `step` moves rsp. */
static __attribute__((noinline, optimize("no-omit-frame-pointer"))) int step_through(struct job *job,
                                                                                  struct timespec *until)
{
    int error;

    step(1);
    error = job->wait->until(until);
    step(0);
    return error;
}

static __attribute__((noinline)) void *run(void *arg)
{
    struct job *job = (struct job *)arg;
    struct timespec until;
    int64_t then;
    int old;
#ifdef __cplusplus
    Guard guard = { job };
#endif

    job->tid = (pid_t)syscall(SYS_gettid);
    pthread_cleanup_push(clean, job);
    if (job->is_disabled)
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
    then = now(job->wait->clock) + job->from_now;
    until.tv_sec = then / 1000000000;
    until.tv_nsec = then % 1000000000;
    __atomic_store_n(&job->started, 1, __ATOMIC_SEQ_CST);
    if (job->is_asynchronous)
        pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &old);
    if (job->is_stepping)
        job->error = step_through(job, &until);
    else if (strstr(job->wait->name, "cond"))
        job->error = holding_the_mutex(job->wait, &until);
    else
        job->error = job->wait->until(&until);
    if (job->is_asynchronous)
        pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &old);
    pthread_cleanup_pop(0);
    return job;
}

static pthread_t start(struct job *job, const struct wait *w, int64_t from_now)
{
    static pthread_attr_t attr;
    static int is_ready;
    pthread_t thread;

    if (!is_ready) {
        pthread_attr_init(&attr);
        pthread_attr_setstacksize(&attr, 65536);
        is_ready = 1;
    }
    job->wait = w;
    job->from_now = from_now;
    /* A thread that is not cancelled would be waited for for ever. */
    bound(w->name);
    if (pthread_create(&thread, &attr, run, job))
        abort();
    return thread;
}

static int is_destroyed(const struct job *job)
{
#ifdef __cplusplus
    return job->destroyed == 1;
#else
    return job->destroyed == 0;
#endif
}

static void blocked(const struct wait *w)
{
    struct job job;
    pthread_t thread;
    void *result;

    memset(&job, 0, sizeof job);
    thread = start(&job, w, 1000000000000);
    while (!__atomic_load_n(&job.started, __ATOMIC_SEQ_CST))
        usleep(1000);
    until_blocked(job.tid);
    pthread_cancel(thread);
    pthread_join(thread, &result);
    printf("%s: %s, cleaned %d%s\n", w->name, result == PTHREAD_CANCELED ? "cancelled" : "returned",
           job.cleaned, is_destroyed(&job) ? "" : ", not destroyed once");
    /* A mutex that nobody has unlocked would hold this up. */
    pthread_mutex_lock(&mutex);
    pthread_mutex_unlock(&mutex);
    fflush(stdout);
}

static void disabled(const struct wait *w)
{
    struct job job;
    pthread_t thread;
    void *result;

    if (!is_point(w))
        return;
    memset(&job, 0, sizeof job);
    job.is_disabled = 1;
    thread = start(&job, w, LONG * 1000000LL);
    while (!__atomic_load_n(&job.started, __ATOMIC_SEQ_CST))
        usleep(1000);
    until_blocked(job.tid);
    pthread_cancel(thread);
    pthread_join(thread, &result);
    printf("%s: %s %s\n", w->name, result == PTHREAD_CANCELED ? "cancelled" : "returned",
           error_name(job.error));
    fflush(stdout);
}

/* The thread cancels itself after the nth instruction of a wait whose time is past, for each n: where
 * that is not allowed, it happens at the next place where it is.
 */
static void stepped(const struct wait *w)
{
    long n = 0, cancelled = 0, wrong = 0, last;
    struct sigaction action;

    if (strstr(w->name, "cond"))
        return;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_step;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGTRAP, &action, NULL);
    do {
        struct job job;
        pthread_t thread;
        void *result;

        memset(&job, 0, sizeof job);
        job.is_stepping = 1;
        steps = 0;
        /* The first ones are nearest to the call. */
        n += n < 400 ? 1 : 23;
        cancel_after = n;
        thread = start(&job, w, -1000000000);
        pthread_join(thread, &result);
        last = steps;
        if (result == PTHREAD_CANCELED) {
            cancelled++;
            if (job.cleaned != 1 || !is_destroyed(&job))
                wrong++;
        } else if (job.cleaned || !is_destroyed(&job))
            wrong++;
    } while (n < 3000 && last >= n);
    printf("%s: %s, %ld wrong\n", w->name, cancelled > 5 ? "cancelled" : "never cancelled", wrong);
    fprintf(stderr, "%s: %ld of %ld cancelled\n", w->name, cancelled, n);
    fflush(stdout);
}

static unsigned seed = 12345;

static unsigned random_below(unsigned limit)
{
    seed = seed * 1103515245 + 12345;
    return (seed >> 8) % limit;
}

static void race(const struct wait *w, long rounds, int is_asynchronous)
{
    long n, cancelled = 0, returned = 0, wrong = 0, lost = 0;

    for (n = 0; n < rounds; n++) {
        /* Long past; soon; or only the cancellation ends it. */
        int64_t from_now = n % 3 == 0 ? -1000000000 : n % 3 == 1 ? random_below(100000) : 1000000000000;
        unsigned turns = random_below(20000);
        volatile unsigned turn = 0;
        struct job job;
        pthread_t thread;
        void *result;
        int is_wrong = 0;

        memset(&job, 0, sizeof job);
        job.is_asynchronous = is_asynchronous;
        is_lost = 0;
        thread = start(&job, w, from_now);
        while (!__atomic_load_n(&job.started, __ATOMIC_SEQ_CST))
            sched_yield();
        while (turn < turns)
            turn = turn + 1;
        pthread_cancel(thread);
        pthread_join(thread, &result);
        if (result == PTHREAD_CANCELED) {
            cancelled++;
            is_wrong = job.cleaned != 1 || !is_destroyed(&job);
        } else {
            returned++;
            is_wrong = job.cleaned || !is_destroyed(&job) || from_now > 1000000000;
        }
        if (pthread_mutex_trylock(&mutex))
            is_wrong = 1;
        pthread_mutex_unlock(&mutex);
        wrong += is_wrong && !is_lost;
        lost += is_wrong && is_lost;
    }
    printf("%s%s: %ld wrong, %ld lost\n", w->name, is_asynchronous ? " at any instruction" : "", wrong,
           lost);
    fprintf(stderr, "%s: %ld cancelled, %ld returned\n", w->name, cancelled, returned);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "blocked";
    long rounds = argc > 2 ? atol(argv[2]) : 1000;
    size_t n, turn;

    prepare_waits();
    if (!strcmp(mode, "disabled")) {
        each_in_a_process(disabled);
        return 0;
    }
    if (!strcmp(mode, "race"))
        note_places();
    for (turn = 0; turn < (strcmp(mode, "race") ? 2 : 1); turn++)
        for (n = 0; n < WAITS; n++) {
            const struct wait *w = &waits[n];

            if (argc > 3 && strcmp(argv[3], w->name))
                continue;
            if (!strcmp(mode, "race")) {
                if (is_point(w))
                    race(w, rounds, 0);
#ifndef __cplusplus
                /* These can be cancelled at any instruction; C++ has no unwinding from there. */
                else
                    race(w, rounds, 1);
#endif
            } else if (is_point(w)) {
                if (!strcmp(mode, "step"))
                    stepped(w);
                else
                    blocked(w);
            }
        }
    return 0;
}
