/* Waits by the C library's functions, each several times, on the clocks that they take.
 *
 *   wait_libc [traced]
 *
 * Prints a line for each wait: `FUNCTION CLOCK RESULT WHEN`. With `traced` only those that elsewhen
 * converts where somebody else traces the thread (LIMITATIONS.md).
 */
#include "timed.h"
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/timerfd.h>

static const clockid_t clocks[] = { CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_TAI };
static clockid_t current;
static struct timespec until;
static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;
static sem_t semaphore;
static mqd_t queue;
static int is_traced;

static struct timespec *soon(clockid_t clock)
{
    current = clock;
    until = at(now(clock) + 4 * MILLISECOND);
    return &until;
}

static void tell(const char *function, int result)
{
    printf("%s %d %d %s\n", function, current, result, is_over(current, &until) ? "in time" : "not in time");
}

static void *lock_held(void *unused)
{
    tell("pthread_mutex_timedlock", pthread_mutex_timedlock(&held, soon(CLOCK_REALTIME)));
    return unused;
}

static void wait_for_condition(clockid_t clock)
{
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_condattr_t attributes;
    pthread_cond_t condition;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, clock);
    pthread_cond_init(&condition, &attributes);
    pthread_mutex_lock(&mutex);
    tell("pthread_cond_timedwait", pthread_cond_timedwait(&condition, &mutex, soon(clock)));
    pthread_mutex_unlock(&mutex);
}

static void wait_for_timer(clockid_t clock)
{
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
    struct timespec limit = { 30, 0 };
    sigset_t wanted;
    timer_t timer;

    sigemptyset(&wanted);
    sigaddset(&wanted, SIGUSR1);
    sigprocmask(SIG_BLOCK, &wanted, NULL);
    if (timer_create(clock, &event, &timer))
        exit(3);
    timer_settime(timer, TIMER_ABSTIME, &(struct itimerspec){ { 0, 0 }, *soon(clock) }, NULL);
    tell("timer_settime", sigtimedwait(&wanted, NULL, &limit));
    timer_delete(timer);
}

static void wait_for_descriptor(clockid_t clock)
{
    int fd = timerfd_create(clock, 0);
    struct pollfd poll_for = { fd, POLLIN, 0 };

    timerfd_settime(fd, TFD_TIMER_ABSTIME, &(struct itimerspec){ { 0, 0 }, *soon(clock) }, NULL);
    tell("timerfd_settime", poll(&poll_for, 1, 30000));
    close(fd);
}

static void wait_for_messages(void)
{
    char byte;

    tell("mq_timedreceive", mq_timedreceive(queue, &byte, 1, NULL, soon(CLOCK_REALTIME)) < 0 ? errno : 0);
    if (mq_send(queue, "", 1, 0))
        exit(3);
    tell("mq_timedsend", mq_timedsend(queue, "", 1, 0, soon(CLOCK_REALTIME)) ? errno : 0);
    if (mq_receive(queue, &byte, 1, NULL) != 1)
        exit(3);
}

static void once(void)
{
    pthread_t thread;

    for (int i = 0; i < 4; i++) {
        tell("clock_nanosleep", clock_nanosleep(clocks[i], TIMER_ABSTIME, soon(clocks[i]), NULL));
        if (!is_traced)
            wait_for_timer(clocks[i]);
    }
    for (int i = 0; i < 2; i++)
        wait_for_condition(clocks[i]);
    for (int i = 0; i < 3; i++)
        wait_for_descriptor(clocks[i]);
    tell("sem_timedwait", sem_timedwait(&semaphore, soon(CLOCK_REALTIME)) ? errno : 0);
    if (!is_traced)
        wait_for_messages();
    pthread_mutex_lock(&held);
    if (pthread_create(&thread, NULL, lock_held, NULL))
        exit(3);
    pthread_join(thread, NULL);
    pthread_mutex_unlock(&held);
}

int main(int argc, char **argv)
{
    struct mq_attr attributes = { .mq_maxmsg = 1, .mq_msgsize = 1 };
    char name[32];

    is_traced = argc > 1 && !strcmp(argv[1], "traced");
    snprintf(name, sizeof name, "/wait_libc-%d", getpid());
    queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
    if (queue == (mqd_t)-1 || mq_unlink(name))
        return 3;
    sem_init(&semaphore, 0, 0);
    for (int i = 0; i < 3; i++)
        once();
    return 0;
}
