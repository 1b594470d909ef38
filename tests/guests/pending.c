/* Waits in several ways for one moment of CLOCK_MONOTONIC, so many milliseconds ahead, each in a thread of
 * its own, and writes for each how late it was, in nanoseconds, to the file named first:
 *
 *   WAY LATE RESULT
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static int out;
static struct timespec at;

static long long nanos(struct timespec t)
{
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void say(const char *way, int result)
{
    struct timespec now;
    char line[100];
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(line, sizeof line, "%s %lld %d\n", way, nanos(now) - nanos(at), result);
    if (write(out, line, strlen(line)) < 0)
        _exit(1);
}

static void *sleeps(void *unused)
{
    say("clock_nanosleep", clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL));
    return unused;
}

static void *waits_for_futex(void *unused)
{
    /* As the C library does: again if it was woken for nothing. */
    uint32_t word = 0;
    long result;
    do
        result = syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, 0, &at, NULL,
                         FUTEX_BITSET_MATCH_ANY);
    while (result == -1 && errno == EINTR);
    say("futex", result == -1 ? errno : 0);
    return unused;
}

static void *waits_for_condition(void *unused)
{
    pthread_condattr_t attr;
    pthread_cond_t condition;
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&condition, &attr);
    pthread_mutex_lock(&mutex);
    int result;
    do
        result = pthread_cond_timedwait(&condition, &mutex, &at);
    while (!result);
    pthread_mutex_unlock(&mutex);
    say("condition", result);
    return unused;
}

static void *reads_timerfd(void *unused)
{
    struct itimerspec spec = { .it_value = at };
    int fd = timerfd_create(CLOCK_MONOTONIC, 0);
    uint64_t ticks;
    timerfd_settime(fd, TFD_TIMER_ABSTIME, &spec, NULL);
    int result;
    do
        result = read(fd, &ticks, sizeof ticks);
    while (result < 0 && errno == EINTR);
    say("timerfd", result);
    return unused;
}

static void *takes_signal(void *unused)
{
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 3 };
    struct itimerspec spec = { .it_value = at };
    sigset_t set;
    timer_t timer;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 3);
    timer_create(CLOCK_MONOTONIC, &event, &timer);
    timer_settime(timer, TIMER_ABSTIME, &spec, NULL);
    int result;
    do
        result = sigwaitinfo(&set, NULL);
    while (result < 0 && errno == EINTR);
    say("timer", result < 0 ? errno : 0);
    return unused;
}

int main(int argc, char **argv)
{
    static void *(*const ways[])(void *) = { sleeps, waits_for_futex, waits_for_condition,
                                             reads_timerfd, takes_signal };
    enum { WAYS = sizeof ways / sizeof *ways };
    pthread_t threads[WAYS];
    sigset_t set;
    if (argc != 3 || (out = open(argv[1], O_WRONLY | O_CREAT | O_APPEND, 0644)) < 0)
        return 2;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 3);
    sigprocmask(SIG_BLOCK, &set, NULL);
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += atoi(argv[2]) / 1000;
    for (int i = 0; i < WAYS; i++)
        pthread_create(&threads[i], NULL, ways[i], NULL);
    if (write(out, "waits\n", 6) < 0)
        return 1;
    for (int i = 0; i < WAYS; i++)
        pthread_join(threads[i], NULL);
    /* What there is to see is in the file. */
    pause();
}
