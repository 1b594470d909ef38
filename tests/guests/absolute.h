/* What the guests of absolute waits share: one table of calls that wait for a time, and the thread
 * that interrupts them once they wait.
 */
#ifndef ABSOLUTE_H
#define ABSOLUTE_H

#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Each guest uses the part that it needs. */
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-variable"

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif
#ifndef CLOCK_TAI
#define CLOCK_TAI 11
#endif

/* linux/futex.h, which musl's compiler does not find. */
#define FUTEX_WAKE 1
#define FUTEX_LOCK_PI 6
#define FUTEX_UNLOCK_PI 7
#define FUTEX_WAIT_BITSET 9
#define FUTEX_PRIVATE_FLAG 128
#define FUTEX_CLOCK_REALTIME 256
#define FUTEX_32 2

/* More than this after its deadline, a wait has not ended by itself. */
#define LATE_SECONDS 20

struct waiter {
    uint64_t val, uaddr;
    uint32_t flags, reserved;
};

static uint32_t word;
static uint32_t held_word;
static sem_t semaphore;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static mqd_t queue;

static int64_t nanos(struct timespec t)
{
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t now(clockid_t clock)
{
    struct timespec t;

    if (clock_gettime(clock, &t))
        abort();
    return nanos(t);
}

static struct timespec from_now(clockid_t clock, int milliseconds)
{
    int64_t then = now(clock) + milliseconds * 1000000LL;
    struct timespec t;

    t.tv_sec = then / 1000000000;
    t.tv_nsec = then % 1000000000;
    return t;
}

static const char *error_name(int error)
{
    static __thread char other[24];

    switch (error) {
    case 0: return "0";
    case EINTR: return "EINTR";
    case EAGAIN: return "EAGAIN";
    case ETIMEDOUT: return "ETIMEDOUT";
    case EINVAL: return "EINVAL";
    case EFAULT: return "EFAULT";
    case EDEADLK: return "EDEADLK";
    case ENOSYS: return "ENOSYS";
    case EPERM: return "EPERM";
    }
    snprintf(other, sizeof other, "error %d", error);
    return other;
}

/* A system call written out, as a site that can be patched; gives 0 or the error. */
static int raw_clock_nanosleep(clockid_t clock, const struct timespec *until, struct timespec *left)
{
    register struct timespec *r10 __asm__("r10") = left;
    long result;

    __asm__ volatile("mov %[nr], %%eax\n\tsyscall"
                     : "=&a"(result)
                     : [nr] "i"(SYS_clock_nanosleep), "D"((long)clock), "S"(1L), "d"(until), "r"(r10)
                     : "rcx", "r11", "memory");
    return (int)-result;
}

static int error_of(long result)
{
    return result < 0 ? errno : 0;
}

static int sleep_realtime(const struct timespec *t)
{
    return clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, t, NULL);
}

static int sleep_monotonic(const struct timespec *t)
{
    return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, t, NULL);
}

static int sleep_boottime(const struct timespec *t)
{
    return clock_nanosleep(CLOCK_BOOTTIME, TIMER_ABSTIME, t, NULL);
}

static int sleep_tai(const struct timespec *t)
{
    return clock_nanosleep(CLOCK_TAI, TIMER_ABSTIME, t, NULL);
}

static int raw_sleep(const struct timespec *t)
{
    return raw_clock_nanosleep(CLOCK_REALTIME, t, NULL);
}

static int futex_realtime(const struct timespec *t)
{
    int op = FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME;

    return error_of(syscall(SYS_futex, &word, op, 0, t, NULL, ~0U));
}

static int futex_monotonic(const struct timespec *t)
{
    int op = FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG;

    return error_of(syscall(SYS_futex, &word, op, 0, t, NULL, ~0U));
}

static int futex_lock_pi(const struct timespec *t)
{
    return error_of(syscall(SYS_futex, &held_word, FUTEX_LOCK_PI, 0, t, NULL, 0));
}

static int futex_waitv(const struct timespec *t)
{
    struct waiter one;

    one.val = 0;
    one.uaddr = (uintptr_t)&word;
    one.flags = FUTEX_32 | FUTEX_PRIVATE_FLAG;
    one.reserved = 0;
    return error_of(syscall(SYS_futex_waitv, &one, 1, 0, t, CLOCK_MONOTONIC));
}

static int semaphore_wait(const struct timespec *t)
{
    return error_of(sem_timedwait(&semaphore, t));
}

static int condition_wait(const struct timespec *t)
{
    int error;

    pthread_mutex_lock(&mutex);
    error = pthread_cond_timedwait(&condition, &mutex, t);
    pthread_mutex_unlock(&mutex);
    return error;
}

static int queue_receive(const struct timespec *t)
{
    char message[8];

    return error_of(mq_timedreceive(queue, message, sizeof message, NULL, t));
}

#ifdef __GLIBC__
static int semaphore_clock_wait(const struct timespec *t)
{
    return error_of(sem_clockwait(&semaphore, CLOCK_MONOTONIC, t));
}

static int condition_clock_wait(const struct timespec *t)
{
    int error;

    pthread_mutex_lock(&mutex);
    error = pthread_cond_clockwait(&condition, &mutex, CLOCK_MONOTONIC, t);
    pthread_mutex_unlock(&mutex);
    return error;
}
#endif

struct wait {
    const char *name;
    clockid_t clock;
    int (*until)(const struct timespec *);
};

static const struct wait waits[] = {
    { "clock_nanosleep REALTIME", CLOCK_REALTIME, sleep_realtime },
    { "clock_nanosleep MONOTONIC", CLOCK_MONOTONIC, sleep_monotonic },
    { "clock_nanosleep BOOTTIME", CLOCK_BOOTTIME, sleep_boottime },
    { "clock_nanosleep TAI", CLOCK_TAI, sleep_tai },
    { "raw clock_nanosleep", CLOCK_REALTIME, raw_sleep },
    { "futex WAIT_BITSET REALTIME", CLOCK_REALTIME, futex_realtime },
    { "futex WAIT_BITSET MONOTONIC", CLOCK_MONOTONIC, futex_monotonic },
    { "futex LOCK_PI", CLOCK_REALTIME, futex_lock_pi },
    { "futex_waitv", CLOCK_MONOTONIC, futex_waitv },
    { "sem_timedwait", CLOCK_REALTIME, semaphore_wait },
    { "pthread_cond_timedwait", CLOCK_REALTIME, condition_wait },
    { "mq_timedreceive", CLOCK_REALTIME, queue_receive },
#ifdef __GLIBC__
    { "sem_clockwait", CLOCK_MONOTONIC, semaphore_clock_wait },
    { "pthread_cond_clockwait", CLOCK_MONOTONIC, condition_clock_wait },
#endif
};

#define WAITS (sizeof waits / sizeof *waits)

static void *hold(void *ready)
{
    __atomic_store_n(&held_word, (uint32_t)syscall(SYS_gettid), __ATOMIC_SEQ_CST);
    sem_post((sem_t *)ready);
    for (;;)
        pause();
    return NULL;
}

/* An empty queue, of `room` messages, that no other process knows. */
static mqd_t new_queue(long room)
{
    struct mq_attr attr;
    char name[40];
    mqd_t made;

    memset(&attr, 0, sizeof attr);
    attr.mq_maxmsg = room;
    attr.mq_msgsize = 8;
    snprintf(name, sizeof name, "/elsewhen-test-%d", (int)getpid());
    made = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attr);
    if (made == (mqd_t)-1) {
        perror("mq_open");
        exit(2);
    }
    mq_unlink(name);
    return made;
}

/* All signals go to the thread that calls this. */
static void prepare_waits(void)
{
    sigset_t all, old;
    pthread_t thread;
    sem_t ready;

    sem_init(&semaphore, 0, 0);
    sem_init(&ready, 0, 0);
    queue = new_queue(4);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    if (pthread_create(&thread, NULL, hold, &ready))
        abort();
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    while (sem_wait(&ready))
        ;
}

/* How a wait ended that began at `start` of CLOCK_MONOTONIC. */
static const char *when(const struct wait *w, const struct timespec *until, int64_t start)
{
    if (now(CLOCK_MONOTONIC) - start > LATE_SECONDS * 1000000000LL)
        return "too late";
    return now(w->clock) < nanos(*until) ? "before its time" : "in time";
}

/* The beginning of a thread's file in /proc; its length is below zero if there is none. */
static ssize_t thread_file(pid_t tid, const char *name, char *text, size_t size)
{
    char path[64];
    ssize_t length;
    int fd;

    snprintf(path, sizeof path, "/proc/%d/%s", (int)tid, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    length = read(fd, text, size - 1);
    close(fd);
    text[length < 0 ? 0 : length] = 0;
    return length;
}

/* Whether a thread sleeps in a system call that somebody else neither answers nor traces just now
 * (where the kernel tells); -1 if it is gone.
 */
static int is_blocked(pid_t tid)
{
    char text[64], place[64];

    /* One that has ended and is not yet waited for has no stack. */
    if (thread_file(tid, "syscall", text, sizeof text) < 0 || !strncmp(text, "-1 0x0 0x0", 10))
        return -1;
    if (thread_file(tid, "wchan", place, sizeof place) > 0 &&
        (strstr(place, "seccomp") || strstr(place, "ptrace")))
        return 0;
    return text[0] >= '0' && text[0] <= '9';
}

/* Comes back when the thread has slept for a while, or is gone. */
static void until_blocked(pid_t tid)
{
    const struct timespec moment = { 0, 5000000 };
    int seen = 0;

    while (seen < 8) {
        int blocked = is_blocked(tid);

        if (blocked < 0)
            return;
        seen = blocked ? seen + 1 : 0;
        nanosleep(&moment, NULL);
    }
}

static volatile int call_is_over;

/* Comes back when a thread is stopped or sleeps in one of the table's calls, or is gone, or the call is
 * over; when it is `received`, not while it still waits for somebody to receive what it asks. That is an
 * interruptible wait, and the next is not (since Linux 5.19). Its files stay open, so that little is missed.
 */
static void until_in_call(pid_t tid, int received)
{
    static const char *const names[] = { "syscall", "status", "wchan" };
    static const char *const calls[] = { "202 ", "230 ", "243 ", "449 " };
    enum { CALL, STATUS, PLACE, FILES };
    char path[64], text[FILES][512];
    int files[FILES], is_there = 0;
    const char *state;
    size_t n;

    for (n = 0; n < FILES; n++) {
        snprintf(path, sizeof path, "/proc/%d/%s", (int)tid, names[n]);
        files[n] = open(path, O_RDONLY | O_CLOEXEC);
    }
    while (!is_there && !call_is_over) {
        for (n = 0; n < (received ? FILES : 1); n++) {
            ssize_t length = pread(files[n], text[n], sizeof text[n] - 1, 0);

            text[n][length < 0 ? 0 : length] = 0;
            if (length < 0 || !strncmp(text[CALL], "-1 0x0 0x0", 10))
                goto gone;
        }
        for (n = 0; n < sizeof calls / sizeof *calls; n++)
            is_there |= !strncmp(text[CALL], calls[n], 4);
        if (!is_there || !received)
            continue;
        state = strstr(text[STATUS], "State:\t");
        is_there = state && (state[7] == 'D' || state[7] == 't' ||
                             (state[7] == 'S' && !strstr(text[PLACE], "seccomp")));
    }
gone:
    for (n = 0; n < FILES; n++)
        close(files[n]);
}

enum when {
    BLOCKED,
    AT_ONCE,
    RECEIVED
};

struct interruption {
    enum when when;
    pid_t tid;
    int number;
};

static void *interrupt(void *arg)
{
    struct interruption *i = (struct interruption *)arg;

    if (i->when == BLOCKED)
        until_blocked(i->tid);
    else
        until_in_call(i->tid, i->when == RECEIVED);
    syscall(SYS_tgkill, getpid(), i->tid, i->number);
    return NULL;
}

/* A thread that sends a signal to the calling one `when` it waits; to be joined. */
static pthread_t interrupt_me_when(enum when when, struct interruption *i, int number)
{
    sigset_t all, old;
    pthread_t thread;

    i->tid = (pid_t)syscall(SYS_gettid);
    i->number = number;
    i->when = when;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    if (pthread_create(&thread, NULL, interrupt, i))
        abort();
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return thread;
}

/* The same, as soon as it sleeps. */
static pthread_t interrupt_me(struct interruption *i, int number)
{
    return interrupt_me_when(BLOCKED, i, number);
}

/* Long enough that an interruption comes before the end, also where there is no CPU to be had. */
#define LONG 2500

/* Does this for each call of the table, each in a process of its own, all at once; and then once
 * more, when the call's site is known. What they print comes in any order.
 */
static void each_in_a_process(void (*body)(const struct wait *))
{
    int status;
    size_t n;

    fflush(stdout);
    for (n = 0; n < WAITS; n++)
        if (!fork()) {
            body(&waits[n]);
            body(&waits[n]);
            exit(0);
        }
    while (wait(&status) > 0)
        if (status)
            printf("ended with %#x\n", status);
}

static void handle(int number, void (*handler)(int), int flags)
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    action.sa_flags = flags;
    if (sigaction(number, &action, NULL))
        abort();
}

#endif
