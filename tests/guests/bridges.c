/* Waits by the functions of a libc that are cancellation points.
 *
 *   bridges waits alone|threads MS     each kind of wait, three times, for MS milliseconds
 *   bridges handlers restart|plain MS  the same while a signal handler runs every millisecond
 *   bridges cancel                     threads are cancelled while they wait
 *   bridges disabled MS                a thread that does not let itself be cancelled waits on
 *   bridges race ROUNDS                threads are cancelled at any moment around their waits; says how many
 *                                      more were at a place of which no unwind table tells
 *   bridges lost ROUNDS                the same while what they wait for arrives
 *   bridges count alone|threads ROUNDS what waits until a time that has passed cost
 *
 * Prints a line for each kind. As C++ its threads also have an object to destroy.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#include "lost.h"

#define SECOND 1000000000L
#define HOUR (3600 * SECOND)

static void fail(const char *what)
{
    printf("%s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t now(clockid_t clock)
{
    struct timespec t;
    if (clock_gettime(clock, &t) != 0)
        fail("clock_gettime");
    return t.tv_sec * SECOND + t.tv_nsec;
}

static struct timespec timespec_of(int64_t t)
{
    struct timespec ts;
    ts.tv_sec = t / SECOND;
    ts.tv_nsec = t % SECOND;
    return ts;
}

/* What is waited for, and nobody brings. */
struct thing {
    pthread_mutex_t mutex, held;
    pthread_cond_t cond, monotonic;
    sem_t semaphore;
    mqd_t empty, full;
};

static mqd_t queue(const char *name)
{
    char path[64];
    struct mq_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.mq_maxmsg = 1;
    attr.mq_msgsize = 8;
    snprintf(path, sizeof path, "/elsewhen-%s-%d", name, getpid());
    mqd_t q = mq_open(path, O_RDWR | O_CREAT | O_EXCL, 0600, &attr);
    if (q == (mqd_t)-1)
        fail("mq_open");
    mq_unlink(path);
    return q;
}

static void make(struct thing *t)
{
    pthread_condattr_t attr;
    pthread_mutex_init(&t->mutex, NULL);
    pthread_mutex_init(&t->held, NULL);
    pthread_cond_init(&t->cond, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&t->monotonic, &attr);
    sem_init(&t->semaphore, 0, 0);
    t->empty = queue("empty");
    t->full = queue("full");
    if (mq_send(t->full, "x", 1, 0) != 0)
        fail("mq_send");
    /* By this thread: another would make the process one of many for good. */
    pthread_mutex_lock(&t->held);
}

static void unmake(struct thing *t)
{
    mq_close(t->empty);
    mq_close(t->full);
}

/* The waits: 0 or an error number. */
typedef int wait_for(struct thing *, const struct timespec *);

static int sleeps(struct thing *t, const struct timespec *until)
{
    (void)t;
    return clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, until, NULL);
}

static int sleeps_monotonic(struct thing *t, const struct timespec *until)
{
    (void)t;
    return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, until, NULL);
}

static void unlock(void *mutex)
{
    /* Only its owner could. */
    if (pthread_mutex_unlock((pthread_mutex_t *)mutex) != 0)
        _exit(3);
}

static int waits_on(struct thing *t, pthread_cond_t *cond, const struct timespec *until)
{
    int result = 0;
    pthread_mutex_lock(&t->mutex);
    pthread_cleanup_push(unlock, &t->mutex);
    result = pthread_cond_timedwait(cond, &t->mutex, until);
    pthread_cleanup_pop(1);
    return result;
}

static int waits_cond(struct thing *t, const struct timespec *until)
{
    return waits_on(t, &t->cond, until);
}

static int waits_cond_monotonic(struct thing *t, const struct timespec *until)
{
    return waits_on(t, &t->monotonic, until);
}

static int waits_semaphore(struct thing *t, const struct timespec *until)
{
    return sem_timedwait(&t->semaphore, until) == 0 ? 0 : errno;
}

static int receives(struct thing *t, const struct timespec *until)
{
    char message[8];
    return mq_timedreceive(t->empty, message, sizeof message, NULL, until) >= 0 ? 0 : errno;
}

static int sends(struct thing *t, const struct timespec *until)
{
    return mq_timedsend(t->full, "y", 1, 0, until) == 0 ? 0 : errno;
}

static int locks(struct thing *t, const struct timespec *until)
{
    return pthread_mutex_timedlock(&t->held, until);
}

static const struct kind {
    const char *name;
    clockid_t clock;
    wait_for *wait;
    int can_be_cancelled;
} kinds[] = {
    {"clock_nanosleep", CLOCK_REALTIME, sleeps, 1},
    {"clock_nanosleep(MONOTONIC)", CLOCK_MONOTONIC, sleeps_monotonic, 1},
    {"pthread_cond_timedwait", CLOCK_REALTIME, waits_cond, 1},
    {"pthread_cond_timedwait(MONOTONIC)", CLOCK_MONOTONIC, waits_cond_monotonic, 1},
    {"sem_timedwait", CLOCK_REALTIME, waits_semaphore, 1},
    {"mq_timedreceive", CLOCK_REALTIME, receives, 1},
    {"mq_timedsend", CLOCK_REALTIME, sends, 1},
    {"pthread_mutex_timedlock", CLOCK_REALTIME, locks, 0},
};
#define KINDS (sizeof kinds / sizeof *kinds)

static int wakes_needlessly(const struct kind *kind)
{
    return kind->wait == waits_cond || kind->wait == waits_cond_monotonic;
}

static const char *name_of(int error)
{
    switch (error) {
    case 0: return "0";
    case EINTR: return "EINTR";
    case ETIMEDOUT: return "ETIMEDOUT";
    default: return strerror(error);
    }
}

/* A wait that goes on after handlers and needless wake-ups: NAME RESULT INTERRUPTIONS MILLISECONDS.
 */
static void wait_through(struct thing *t, const struct kind *kind, int64_t ms)
{
    int64_t start = now(CLOCK_MONOTONIC), deadline = now(kind->clock) + ms * 1000000;
    const struct timespec until = timespec_of(deadline);
    int result, interrupted = 0;
    for (;;) {
        result = kind->wait(t, &until);
        interrupted += result == EINTR;
        if (result != EINTR && !(result == 0 && wakes_needlessly(kind)))
            break;
    }
    int64_t took = (now(CLOCK_MONOTONIC) - start) / 1000000;
    printf("%s %s %d %ld\n", kind->name, name_of(result), interrupted, (long)took);
    if (until.tv_sec != deadline / SECOND || until.tv_nsec != deadline % SECOND)
        printf("%s has changed its deadline\n", kind->name);
}

static void *idle(void *nothing)
{
    while (nothing == NULL)
        pause();
    return NULL;
}

/* Some libcs take another way as long as there is one thread. */
static void become_many(void)
{
    pthread_t thread;
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    if (pthread_create(&thread, NULL, idle, NULL) != 0)
        fail("pthread_create");
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static void each_waits(int64_t ms)
{
    struct thing t;
    make(&t);
    for (unsigned i = 0; i < KINDS; i++)
        for (int times = 0; times < 3; times++)
            wait_through(&t, &kinds[i], ms);
    unmake(&t);
}

static volatile sig_atomic_t handled;

/* Uses the stack, the clocks, and each fourth time waits itself. */
static void handler(int signal)
{
    (void)signal;
    int error = errno;
    char bytes[4096];
    memset(bytes, 0xa5, sizeof bytes);
    __asm__ volatile("" : : "r"(bytes) : "memory");
    int64_t time = now(CLOCK_REALTIME);
    handled = handled + 1;
    if (handled % 4 == 1) {
        struct timespec until = timespec_of(time + 100000);
        while (clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &until, NULL) == EINTR)
            ;
        if (now(CLOCK_REALTIME) < time + 100000)
            _exit(4);
    }
    errno = error;
}

static void handle_signals(int restart)
{
    struct sigaction action;
    struct itimerval often;
    memset(&action, 0, sizeof action);
    memset(&often, 0, sizeof often);
    action.sa_handler = handler;
    action.sa_flags = restart ? SA_RESTART : 0;
    sigaction(SIGALRM, &action, NULL);
    often.it_interval.tv_usec = often.it_value.tv_usec = 1000;
    setitimer(ITIMER_REAL, &often, NULL);
}

/* A thread that waits until it is cancelled, and what became of it. */
struct waiter {
    struct thing *thing;
    const struct kind *kind;
    int64_t wait, disabled_until;
    volatile int waiting, cleaned, made, destroyed, brought, result;
};

static void clean(void *waiter)
{
    struct waiter *w = (struct waiter *)waiter;
    w->cleaned = w->cleaned + 1;
}

#ifdef __cplusplus
struct Object {
    struct waiter *waiter;
    explicit Object(struct waiter *waiter) : waiter(waiter) { waiter->made = waiter->made + 1; }
    ~Object() { waiter->destroyed = waiter->destroyed + 1; }
};
#endif

static int wait_once(struct waiter *w)
{
#ifdef __cplusplus
    Object object(w);
#endif
    int64_t far = w->wait == 0 ? HOUR : w->wait;
    struct timespec until = timespec_of(now(w->kind->clock) + far);
    w->waiting = 1;
    return w->kind->wait(w->thing, &until);
}

static void *wait_until_cancelled(void *arg)
{
    struct waiter *w = (struct waiter *)arg;
    pthread_cleanup_push(clean, w);
    if (w->disabled_until != 0) {
        int old;
        struct timespec until = timespec_of(w->disabled_until);
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
        w->waiting = 1;
        do
            w->result = w->kind->wait(w->thing, &until);
        while (w->result == EINTR || (w->result == 0 && wakes_needlessly(w->kind)));
        pthread_setcancelstate(old, NULL);
    }
    for (;;) {
        int result = wait_once(w);
        if (result == 0)
            w->brought = w->brought + 1;
        pthread_testcancel();
    }
    pthread_cleanup_pop(0);
    return NULL;
}

static void start(pthread_t *thread, struct waiter *w)
{
    int error = pthread_create(thread, NULL, wait_until_cancelled, w);
    if (error != 0) {
        errno = error;
        fail("pthread_create");
    }
}

/* 0 if a thread ended as a cancelled one has to. */
static int end(pthread_t thread, struct waiter *w)
{
    void *result = NULL;
    is_lost = 0;
    pthread_cancel(thread);
    pthread_join(thread, &result);
    /* Nobody holds what the thread held. */
    int held = pthread_mutex_trylock(&w->thing->mutex);
    if (held == 0)
        pthread_mutex_unlock(&w->thing->mutex);
    if (result == PTHREAD_CANCELED && w->cleaned == 1 && w->made == w->destroyed && held == 0)
        return 0;
    fprintf(stderr, "%s: cancelled %d, cleaned %d, made %d, destroyed %d, held %d\n", w->kind->name,
            result == PTHREAD_CANCELED, w->cleaned, w->made, w->destroyed, held);
    return 1;
}

static void sleep_for(int64_t ns)
{
    struct timespec t = timespec_of(ns);
    nanosleep(&t, NULL);
}

static void each_is_cancelled(void)
{
    for (unsigned i = 0; i < KINDS; i++) {
        int wrong = 0;
        for (int times = 0; kinds[i].can_be_cancelled && times < 5; times++) {
            struct thing t;
            struct waiter w;
            pthread_t thread;
            make(&t);
            memset(&w, 0, sizeof w);
            w.thing = &t;
            w.kind = &kinds[i];
            start(&thread, &w);
            while (!w.waiting)
                sleep_for(100000);
            sleep_for(20000000);
            wrong += end(thread, &w);
            unmake(&t);
        }
        if (kinds[i].can_be_cancelled)
            printf("%s wrong %d\n", kinds[i].name, wrong);
    }
}

static void each_waits_on(int64_t ms)
{
    for (unsigned i = 0; i < KINDS; i++) {
        struct thing t;
        struct waiter w;
        pthread_t thread;
        if (!kinds[i].can_be_cancelled)
            continue;
        make(&t);
        memset(&w, 0, sizeof w);
        w.thing = &t;
        w.kind = &kinds[i];
        int64_t start_time = now(CLOCK_MONOTONIC);
        w.disabled_until = now(kinds[i].clock) + ms * 1000000;
        start(&thread, &w);
        while (!w.waiting)
            sleep_for(100000);
        sleep_for(5000000);
        int wrong = end(thread, &w);
        int64_t took = (now(CLOCK_MONOTONIC) - start_time) / 1000000;
        printf("%s %s %d %ld\n", kinds[i].name, name_of(w.result), wrong, (long)took);
        unmake(&t);
    }
}

static uint64_t state;

static int64_t random_below(int64_t bound)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)((state >> 33) % (uint64_t)bound);
}

static void spin(int64_t ns)
{
    int64_t from = now(CLOCK_MONOTONIC);
    while (now(CLOCK_MONOTONIC) < from + ns)
        ;
}

static void race(int rounds)
{
    for (unsigned i = 0; i < KINDS; i++) {
        struct thing t;
        int wrong = 0, lost = 0;
        if (!kinds[i].can_be_cancelled)
            continue;
        make(&t);
        for (int round = 0; round < rounds; round++) {
            struct waiter w;
            pthread_t thread;
            memset(&w, 0, sizeof w);
            w.thing = &t;
            w.kind = &kinds[i];
            /* It ends by itself about then, or never. */
            w.wait = round % 2 == 0 ? 0 : 1 + random_below(100000);
            start(&thread, &w);
            while (round % 4 < 2 && !w.waiting)
                sched_yield();
            spin(random_below(round % 8 < 4 ? 10000 : 100000));
            if (end(thread, &w) != 0) {
                wrong += !is_lost;
                lost += is_lost;
                /* The mutex is held by a thread that is no more. */
                unmake(&t);
                make(&t);
            }
        }
        printf("%s wrong %d lost %d\n", kinds[i].name, wrong, lost);
        unmake(&t);
    }
}

/* What was brought has been taken by a thread or is still there. */
static void lost(int rounds)
{
    for (unsigned i = 0; i < KINDS; i++) {
        int wrong = 0, taken = 0;
        struct thing t;
        if (kinds[i].wait != waits_semaphore && kinds[i].wait != receives)
            continue;
        make(&t);
        for (int round = 0; round < rounds; round++) {
            struct waiter w;
            pthread_t thread;
            int left = 0;
            memset(&w, 0, sizeof w);
            w.thing = &t;
            w.kind = &kinds[i];
            w.wait = round % 2 == 0 ? 0 : 1 + random_below(200000);
            start(&thread, &w);
            while (!w.waiting)
                sched_yield();
            spin(random_below(50000));
            if (kinds[i].wait == receives)
                mq_send(t.empty, "x", 1, 0);
            else
                sem_post(&t.semaphore);
            spin(random_below(round % 4 < 2 ? 5000 : 50000));
            wrong += end(thread, &w);
            if (kinds[i].wait == receives) {
                struct mq_attr attr;
                char message[8];
                mq_getattr(t.empty, &attr);
                left = (int)attr.mq_curmsgs;
                if (left > 0 && mq_receive(t.empty, message, sizeof message, NULL) < 0)
                    fail("mq_receive");
            } else {
                sem_getvalue(&t.semaphore, &left);
                if (left > 0)
                    sem_trywait(&t.semaphore);
            }
            taken += w.brought;
            wrong += w.brought + left != 1;
        }
        printf("%s wrong %d taken %d\n", kinds[i].name, wrong, taken);
        unmake(&t);
    }
}

/* NAME, how often a wait gave up the processor in a hundred times, and nanoseconds. */
static void count(int rounds)
{
    struct thing t;
    make(&t);
    for (unsigned i = 0; i < KINDS; i++) {
        struct timespec past = timespec_of(now(kinds[i].clock) - SECOND);
        struct rusage before, after;
        for (int round = 0; round < 8; round++)
            kinds[i].wait(&t, &past);
        getrusage(RUSAGE_THREAD, &before);
        int64_t from = now(CLOCK_MONOTONIC);
        for (int round = 0; round < rounds; round++)
            kinds[i].wait(&t, &past);
        int64_t took = now(CLOCK_MONOTONIC) - from;
        getrusage(RUSAGE_THREAD, &after);
        long switches = after.ru_nvcsw - before.ru_nvcsw;
        printf("%s %ld %ld\n", kinds[i].name, 100 * switches / rounds, (long)took / rounds);
    }
    unmake(&t);
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    int number = argc > 2 ? atoi(argv[argc - 1]) : 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    state = (uint64_t)now(CLOCK_MONOTONIC);
    if (argc < 3 || strcmp(argv[2], "alone") != 0)
        become_many();
    if (strcmp(mode, "waits") == 0) {
        each_waits(number);
    } else if (strcmp(mode, "handlers") == 0) {
        handle_signals(strcmp(argv[2], "restart") == 0);
        each_waits(number);
        if (handled == 0)
            printf("no handler has run\n");
    } else if (strcmp(mode, "cancel") == 0) {
        each_is_cancelled();
    } else if (strcmp(mode, "disabled") == 0) {
        each_waits_on(number);
    } else if (strcmp(mode, "race") == 0) {
        note_places();
        race(number);
    } else if (strcmp(mode, "lost") == 0) {
        lost(number);
    } else if (strcmp(mode, "count") == 0) {
        count(number);
    } else {
        return 2;
    }
    return 0;
}
