/* Absolute sleeps and timers, for a thread that may be traced.
 *
 *   settings sleep CLOCK          sleeps to a tenth of a second from now, to a time that is past, and
 *                                 by bad times
 *   settings timerfd CLOCK        sets timers, and makes each mistake
 *   settings futex CLOCK          waits for a word and for a semaphore
 *   settings signals CLOCK        sleeps while signals come: without a handler, blocked, caught
 *   settings threads CLOCK        the same, where another thread sleeps too and has set a timer
 *
 * Prints what each call returned, and whether it ended in time.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "bounded.h"

#define TENTH 100000000L

static clockid_t clock_id;
static volatile int handled;
static int is_alone;
/* Shared with the children: whether a sleep is about to begin. */
static volatile int *begins;

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

static struct timespec from_now(long nsec)
{
    struct timespec at;

    clock_gettime(clock_id, &at);
    at.tv_sec += (at.tv_nsec + nsec) / 1000000000;
    at.tv_nsec = (at.tv_nsec + nsec) % 1000000000;
    return at;
}

/* Early by no more than the tick of a coarse clock, late by no more than a busy machine makes it. */
static const char *in_time(double start, double from, double to)
{
    double took = seconds() - start;

    return took < from - 0.001 ? "early" : took > to ? "late" : "in time";
}

static int sleep_until(const struct timespec *at)
{
    return (int)(syscall(SYS_clock_nanosleep, clock_id, TIMER_ABSTIME, at, NULL) ? errno : 0);
}

/* `start` was before the time was chosen. */
static void try_sleep(const char *name, double start, struct timespec at, double from, double to)
{
    int error = sleep_until(&at);

    printf("%s %d %s\n", name, error, in_time(start, from, to));
}

static void sleeps(void)
{
    double start = seconds();
    struct timespec past = from_now(0), bad = from_now(0), negative = { -1, 0 }, zero = { 0, 0 };

    past.tv_sec--;
    bad.tv_nsec = 1000000000;
    try_sleep("soon", start, from_now(TENTH), 0.1, 18);
    try_sleep("past", start, past, 0, 18);
    try_sleep("zero", start, zero, 0, 18);
    try_sleep("bad", start, bad, 0, 18);
    try_sleep("negative", start, negative, 0, 18);
    printf("null %d\n", sleep_until(NULL));
}

static int set(int fd, int flags, const void *new, void *old)
{
    return (int)(syscall(SYS_timerfd_settime, fd, flags, new, old) ? errno : 0);
}

static void timerfds(void)
{
    struct itimerspec spec = { 0 }, bad, old, empty = { 0 };
    int fd = timerfd_create(clock_id, TFD_CLOEXEC), other = open("/dev/null", O_RDONLY);
    int copy = dup(fd), path = open("/dev/null", O_PATH);
    char *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t ticks = 0;
    /* Before the time is chosen: what lies between the two takes a traced thread milliseconds. */
    double start = seconds();

    spec.it_value = from_now(TENTH);
    printf("once %d", set(fd, TFD_TIMER_ABSTIME, &spec, NULL));
    printf(" %zd", read(copy, &ticks, 8));
    printf(" %d %s\n", (int)ticks, in_time(start, 0.1, 8));

    start = seconds();
    spec.it_value = from_now(0);
    spec.it_value.tv_sec--;
    spec.it_interval.tv_sec = 1000;
    printf("past %d", set(copy, TFD_TIMER_ABSTIME, &spec, &old));
    printf(" %zd", read(fd, &ticks, 8));
    printf(" %d %s old %ld %ld\n", (int)ticks, in_time(start, 0, 8), (long)old.it_value.tv_sec,
           (long)old.it_interval.tv_sec);
    printf("disarm %d", set(fd, TFD_TIMER_ABSTIME, &empty, &old));
    printf(" old %d %ld\n", old.it_value.tv_sec > 980 && old.it_value.tv_sec < 1001,
           (long)old.it_interval.tv_sec);
    timerfd_gettime(fd, &old);
    printf("disarmed %ld %ld\n", (long)old.it_value.tv_sec, (long)old.it_value.tv_nsec);

    spec.it_value = from_now(TENTH);
    bad = spec;
    bad.it_value.tv_nsec = -1;
    printf("null %d\n", set(fd, TFD_TIMER_ABSTIME, NULL, NULL));
    printf("null before flags %d\n", set(-1, 0x101, NULL, NULL));
    printf("flags %d\n", set(fd, 0x101, &spec, NULL));
    printf("flags before descriptor %d\n", set(-1, 0x101, &spec, NULL));
    printf("value %d\n", set(fd, TFD_TIMER_ABSTIME, &bad, NULL));
    printf("value before descriptor %d\n", set(-1, TFD_TIMER_ABSTIME, &bad, NULL));
    bad = spec;
    bad.it_interval.tv_sec = -1;
    printf("interval %d\n", set(fd, TFD_TIMER_ABSTIME, &bad, NULL));
    printf("descriptor %d\n", set(-1, TFD_TIMER_ABSTIME, &spec, NULL));
    printf("no descriptor %d\n", set(999, TFD_TIMER_ABSTIME, &spec, NULL));
    printf("no timer %d\n", set(other, TFD_TIMER_ABSTIME, &spec, NULL));
    printf("a path %d\n", set(path, TFD_TIMER_ABSTIME, &spec, NULL));
    /* The timer is set all the same. */
    printf("old %d", set(fd, TFD_TIMER_ABSTIME, &spec, page));
    printf(" %zd\n", read(fd, &ticks, 8));
    printf("cancel on set %d\n",
           set(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &spec, NULL));
}

static void on_signal(int number)
{
    (void)number;
    handled++;
}

/* Has a child send a signal after so long, to the process or to this thread. */
static pid_t soon(int number, int to_thread, int microseconds)
{
    pid_t pid = getpid(), tid = (pid_t)syscall(SYS_gettid), child = fork();

    if (child)
        return child;
    while (!*begins)
        usleep(1000);
    usleep(microseconds);
    if (to_thread)
        syscall(SYS_tgkill, pid, tid, number);
    else
        kill(pid, number);
    /* Not before the sleep has ended: the end of a child is a signal too. */
    usleep(500000);
    _exit(0);
}

/* A sleep of so many tenths of a second: one that a signal ends is long, as a busy machine sends that late;
 * and the signal is not to come before it has begun, however busy the machine is.
 */
static void interrupted(const char *name, int number, int to_thread, long tenths, double from, double to)
{
    int error, before = handled;
    struct timespec at;
    double start;
    pid_t child;

    *begins = 0;
    child = soon(number, to_thread, tenths > 100 ? 500000 : 150000);
    start = seconds();
    at = from_now(tenths * TENTH);
    *begins = 1;
    error = sleep_until(&at);
    printf("%s %d handled %d %s\n", name, error, handled - before, in_time(start, from, to));
    kill(child, SIGKILL);
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
}

static void with_signals(int to_thread)
{
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
    sigset_t set;

    signal(SIGCHLD, SIG_DFL);
    sigaction(SIGUSR1, &action, NULL);
    action.sa_flags = 0;
    sigaction(SIGUSR2, &action, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGALRM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    interrupted("restarting", SIGUSR1, to_thread, 200, 0.05, 18);
    interrupted("plain", SIGUSR2, to_thread, 200, 0.05, 18);
    interrupted("blocked", SIGALRM, to_thread, 4, 0.3, 18);
    if (to_thread || is_alone) {
        interrupted("ignored", SIGWINCH, to_thread, 4, 0.3, 18);
        interrupted("continued", SIGCONT, to_thread, 4, 0.3, 18);
    }
}

static void *sleeper(void *at)
{
    struct itimerspec spec = { { 0, 0 }, from_now(3 * TENTH) };
    int fd = timerfd_create(clock_id, 0);
    uint64_t ticks = 0;
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    unshare(CLONE_FILES);
    /* A number that the first thread does not have. */
    if (dup2(fd, 100) < 0 || set(100, TFD_TIMER_ABSTIME, &spec, NULL))
        printf("cannot be set: %d\n", errno);
    *(int *)at = sleep_until(&spec.it_value);
    if (read(100, &ticks, 8) != 8 || ticks != 1)
        printf("no tick\n");
    return NULL;
}

static void threads(void)
{
    pthread_t thread;
    int error = -1;

    pthread_create(&thread, NULL, sleeper, &error);
    with_signals(1);
    with_signals(0);
    pthread_join(thread, NULL);
    printf("the other %d\n", error);
}

static sem_t semaphore;
static int word;

static void *poster(void *unused)
{
    (void)unused;
    usleep(100000);
    sem_post(&semaphore);
    return NULL;
}

/* Waits as C libraries do: once more whenever it is woken for nothing. */
static int wait_until(const struct timespec *at, int expected, int bits)
{
    int op = 9 | 128 | (clock_id == CLOCK_REALTIME ? 256 : 0);
    long result;

    do
        result = syscall(SYS_futex, &word, op, expected, at, NULL, bits);
    while (result == 0);
    return errno;
}

static void futexes(void)
{
    double start = seconds();
    struct timespec at = from_now(TENTH), bad = at, far = at;
    pthread_t thread;

    far.tv_sec += 30;
    bad.tv_nsec = -1;
    printf("word %d", wait_until(&at, 0, -1));
    printf(" %s\n", in_time(start, 0.1, 8));
    printf("past %d\n", wait_until(&at, 0, -1));
    printf("changed %d %d\n", wait_until(&far, 1, -1), wait_until(&at, 1, -1));
    printf("bad %d %d\n", wait_until(&bad, 0, -1), wait_until(&far, 0, 0));
    start = seconds();
    sem_init(&semaphore, 0, 0);
    at = from_now(TENTH);
    printf("semaphore %d", sem_clockwait(&semaphore, clock_id, &at) ? errno : 0);
    printf(" %s\n", in_time(start, 0.1, 8));
    start = seconds();
    far = from_now(0);
    far.tv_sec += 30;
    pthread_create(&thread, NULL, poster, NULL);
    printf("posted %d", sem_clockwait(&semaphore, clock_id, &far) ? errno : 0);
    printf(" %s\n", in_time(start, 0.05, 8));
    pthread_join(thread, NULL);
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    begins = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    setvbuf(stdout, NULL, _IONBF, 0);
    clock_id = atoi(argv[2]);
    bound(argv[1]);
    if (!strcmp(argv[1], "sleep"))
        sleeps();
    else if (!strcmp(argv[1], "timerfd"))
        timerfds();
    else if (!strcmp(argv[1], "futex"))
        futexes();
    else if (!strcmp(argv[1], "threads"))
        threads();
    else if (!strcmp(argv[1], "signals")) {
        is_alone = 1;
        with_signals(0);
        with_signals(1);
    }
    return 0;
}
