/* Waits for a time on each clock, by what libc has: pthreads, semaphores, C11, sleeps.
 *
 *   timeouts MS       makes each wait in a thread of its own, all at once, for a deadline that is
 *                     MS away, and prints a line for each that ends: its name and clock, the
 *                     error, and how many milliseconds it took; then all that once more, now
 *                     from places in the code that have waited before
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <threads.h>
#include <time.h>

typedef const struct timespec *deadline;

/* Held by the first thread for as long as the program runs. */
static pthread_mutex_t held, held_recursive, held_inheriting, held_robust, held_shared;
static pthread_rwlock_t held_rwlock = PTHREAD_RWLOCK_INITIALIZER;
static mtx_t held_c11;

static void hold(pthread_mutex_t *mutex, int type, int protocol, int robust, int shared)
{
    pthread_mutexattr_t attr;

    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, type);
    pthread_mutexattr_setprotocol(&attr, protocol);
    pthread_mutexattr_setrobust(&attr, robust);
    pthread_mutexattr_setpshared(&attr, shared);
    pthread_mutex_init(mutex, &attr);
    pthread_mutex_lock(mutex);
}

static void hold_all(void)
{
    hold(&held, PTHREAD_MUTEX_NORMAL, 0, 0, 0);
    hold(&held_recursive, PTHREAD_MUTEX_RECURSIVE, 0, 0, 0);
    hold(&held_inheriting, PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_INHERIT, 0, 0);
    hold(&held_robust, PTHREAD_MUTEX_NORMAL, 0, PTHREAD_MUTEX_ROBUST, 0);
    hold(&held_shared, PTHREAD_MUTEX_NORMAL, 0, 0, PTHREAD_PROCESS_SHARED);
    pthread_rwlock_wrlock(&held_rwlock);
    mtx_init(&held_c11, mtx_timed);
    mtx_lock(&held_c11);
}

/* A condition whose waits are on a clock, and a mutex for it. */
struct condition {
    pthread_cond_t cond;
    pthread_mutex_t mutex;
    int met;
};

static void make_condition(struct condition *c, clockid_t clock)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, clock);
    pthread_cond_init(&c->cond, &attr);
    pthread_mutex_init(&c->mutex, NULL);
    pthread_mutex_lock(&c->mutex);
    c->met = 0;
}

static int cond_timedwait(clockid_t clock, deadline at)
{
    struct condition c;
    int error = 0;

    make_condition(&c, clock);
    while (!error)
        error = pthread_cond_timedwait(&c.cond, &c.mutex, at);
    return error;
}

static void *meet(void *arg)
{
    struct condition *c = arg;

    pthread_mutex_lock(&c->mutex);
    c->met = 1;
    pthread_cond_signal(&c->cond);
    pthread_mutex_unlock(&c->mutex);
    return NULL;
}

/* The deadline is a minute later than the others' and another thread comes before it. */
static int cond_signalled(clockid_t clock, deadline at)
{
    struct timespec late = { at->tv_sec + 60, at->tv_nsec };
    struct condition c;
    pthread_t other;
    int error = 0;

    make_condition(&c, clock);
    while (clock_nanosleep(clock, TIMER_ABSTIME, at, NULL) == EINTR)
        ;
    if (pthread_create(&other, NULL, meet, &c))
        abort();
    while (!error && !c.met)
        error = pthread_cond_timedwait(&c.cond, &c.mutex, &late);
    pthread_mutex_unlock(&c.mutex);
    pthread_join(other, NULL);
    return error;
}

static int sem_until(int shared, deadline at)
{
    sem_t empty;

    sem_init(&empty, shared, 0);
    return sem_timedwait(&empty, at) ? errno : 0;
}

static int sem_private(clockid_t clock, deadline at)
{
    (void)clock;
    return sem_until(0, at);
}

static int sem_shared(clockid_t clock, deadline at)
{
    (void)clock;
    return sem_until(1, at);
}

#define TIMED(function, call)                             \
    static int function(clockid_t clock, deadline at)     \
    {                                                     \
        (void)clock;                                      \
        return call;                                      \
    }

TIMED(mutex_timedlock, pthread_mutex_timedlock(&held, at))
TIMED(mutex_recursive, pthread_mutex_timedlock(&held_recursive, at))
TIMED(mutex_inheriting, pthread_mutex_timedlock(&held_inheriting, at))
TIMED(mutex_robust, pthread_mutex_timedlock(&held_robust, at))
TIMED(mutex_shared, pthread_mutex_timedlock(&held_shared, at))
TIMED(rwlock_read, pthread_rwlock_timedrdlock(&held_rwlock, at))
TIMED(rwlock_write, pthread_rwlock_timedwrlock(&held_rwlock, at))
TIMED(c11_mutex, mtx_timedlock(&held_c11, at))
TIMED(nanosleep_until, clock_nanosleep(clock, TIMER_ABSTIME, at, NULL))

static int c11_condition(clockid_t clock, deadline at)
{
    mtx_t mutex;
    cnd_t cond;
    int error = thrd_success;

    (void)clock;
    mtx_init(&mutex, mtx_plain);
    mtx_lock(&mutex);
    cnd_init(&cond);
    while (error == thrd_success)
        error = cnd_timedwait(&cond, &mutex, at);
    return error;
}

#ifdef __GLIBC__
TIMED(mutex_clocklock, pthread_mutex_clocklock(&held, clock, at))
TIMED(mutex_inheriting_clock, pthread_mutex_clocklock(&held_inheriting, clock, at))
TIMED(rwlock_read_clock, pthread_rwlock_clockrdlock(&held_rwlock, clock, at))
TIMED(rwlock_write_clock, pthread_rwlock_clockwrlock(&held_rwlock, clock, at))

static int sem_clock(clockid_t clock, deadline at)
{
    sem_t empty;

    sem_init(&empty, 0, 0);
    return sem_clockwait(&empty, clock, at) ? errno : 0;
}

/* The condition's own clock is another, and does not matter. */
static int cond_clockwait(clockid_t clock, deadline at)
{
    struct condition c;
    int error = 0;

    make_condition(&c, clock == CLOCK_REALTIME ? CLOCK_MONOTONIC : CLOCK_REALTIME);
    while (!error)
        error = pthread_cond_clockwait(&c.cond, &c.mutex, clock, at);
    return error;
}

static void *idle(void *arg)
{
    sem_wait(arg);
    return NULL;
}

static int join(int timed, clockid_t clock, deadline at)
{
    pthread_t idler;
    sem_t end;
    int error;

    sem_init(&end, 0, 0);
    if (pthread_create(&idler, NULL, idle, &end))
        abort();
    error = timed ? pthread_timedjoin_np(idler, NULL, at)
                  : pthread_clockjoin_np(idler, NULL, clock, at);
    sem_post(&end);
    pthread_join(idler, NULL);
    return error;
}

TIMED(timedjoin, join(1, clock, at))
TIMED(clockjoin, join(0, clock, at))
#endif

#define ON(name, clock, function) { #name "(" #clock ")", CLOCK_##clock, function }

static const struct wait {
    const char *name;
    clockid_t clock;
    int (*wait)(clockid_t, deadline);
} waits[] = {
    ON(clock_nanosleep, REALTIME, nanosleep_until),
    ON(clock_nanosleep, MONOTONIC, nanosleep_until),
    ON(clock_nanosleep, BOOTTIME, nanosleep_until),
    ON(clock_nanosleep, TAI, nanosleep_until),
    ON(pthread_cond_timedwait, REALTIME, cond_timedwait),
    ON(pthread_cond_timedwait, MONOTONIC, cond_timedwait),
    ON(pthread_cond_timedwait_signalled, REALTIME, cond_signalled),
    ON(pthread_cond_timedwait_signalled, MONOTONIC, cond_signalled),
    ON(sem_timedwait, REALTIME, sem_private),
    ON(sem_timedwait_shared, REALTIME, sem_shared),
    ON(pthread_mutex_timedlock, REALTIME, mutex_timedlock),
    ON(pthread_mutex_timedlock_recursive, REALTIME, mutex_recursive),
    ON(pthread_mutex_timedlock_inheriting, REALTIME, mutex_inheriting),
    ON(pthread_mutex_timedlock_robust, REALTIME, mutex_robust),
    ON(pthread_mutex_timedlock_shared, REALTIME, mutex_shared),
    ON(pthread_rwlock_timedrdlock, REALTIME, rwlock_read),
    ON(pthread_rwlock_timedwrlock, REALTIME, rwlock_write),
    ON(mtx_timedlock, REALTIME, c11_mutex),
    ON(cnd_timedwait, REALTIME, c11_condition),
#ifdef __GLIBC__
    ON(pthread_cond_clockwait, REALTIME, cond_clockwait),
    ON(pthread_cond_clockwait, MONOTONIC, cond_clockwait),
    ON(sem_clockwait, REALTIME, sem_clock),
    ON(sem_clockwait, MONOTONIC, sem_clock),
    ON(pthread_mutex_clocklock, REALTIME, mutex_clocklock),
    ON(pthread_mutex_clocklock, MONOTONIC, mutex_clocklock),
    ON(pthread_mutex_clocklock_inheriting, REALTIME, mutex_inheriting_clock),
    ON(pthread_mutex_clocklock_inheriting, MONOTONIC, mutex_inheriting_clock),
    ON(pthread_rwlock_clockrdlock, REALTIME, rwlock_read_clock),
    ON(pthread_rwlock_clockrdlock, MONOTONIC, rwlock_read_clock),
    ON(pthread_rwlock_clockwrlock, REALTIME, rwlock_write_clock),
    ON(pthread_rwlock_clockwrlock, MONOTONIC, rwlock_write_clock),
    ON(pthread_timedjoin_np, REALTIME, timedjoin),
    ON(pthread_clockjoin_np, REALTIME, clockjoin),
    ON(pthread_clockjoin_np, MONOTONIC, clockjoin),
#endif
};

enum { COUNT = sizeof waits / sizeof waits[0] };

static long wait_ms;

static void *run(void *arg)
{
    const struct wait *w = arg;
    struct timespec start, at, end;
    int error;

    clock_gettime(w->clock, &start);
    at.tv_sec = start.tv_sec + (start.tv_nsec / 1000000 + wait_ms) / 1000;
    at.tv_nsec = (start.tv_nsec + wait_ms * 1000000) % 1000000000;
    error = w->wait(w->clock, &at);
    clock_gettime(w->clock, &end);
    printf("%s %d %ld\n", w->name, error,
           (end.tv_sec - start.tv_sec) * 1000 + (end.tv_nsec - start.tv_nsec) / 1000000);
    fflush(stdout);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[COUNT];
    int rounds = 2;

    wait_ms = argc > 1 ? atol(argv[1]) : 100;
    hold_all();
    while (rounds--) {
        for (int i = 0; i < COUNT; i++)
            if (pthread_create(&threads[i], NULL, run, (void *)&waits[i]))
                return 1;
        for (int i = 0; i < COUNT; i++)
            pthread_join(threads[i], NULL);
    }
    return 0;
}
