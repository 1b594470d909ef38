/* Many threads that wait at two kinds of call sites, and see that each call was made exactly once.
 *
 *   wait_storm THREADS ROUNDS quiet|restarting|handlers [MICROSECONDS]
 *
 * A thread sends messages to a queue of its own, each with a time by which it has to be sent, takes
 * them out again, waits in vain for another, sleeps, and sets a timer; all times are absolute. After
 * each call it asks how many messages there are. One kind of site enters the gate by itself after its
 * first use, the other never does. With `restarting` and `handlers` a signal comes every 150 us,
 * or as often as asked for. Prints `calls N interrupted N wrong N`. Alone, it is never interrupted without handlers.
 */
#include "timed.h"
#include <fcntl.h>
#include <mqueue.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/timerfd.h>

typedef long wait_call(long a, long b, long c, long d, long e);

#define WAIT(name, nr)                                                                               \
    __asm__(".p2align 6\n" name ": mov %rcx, %r10\n mov $" #nr ", %eax\n syscall\n ret\n"            \
            ".p2align 6\nslow_" name ": mov $" #nr ", %eax\n mov %rcx, %r10\n nop\n syscall\n ret\n")

WAIT("sleep", 230);
WAIT("send", 242);
WAIT("receive", 243);
WAIT("settime", 286);

extern wait_call sleep_fast __asm__("sleep"), sleep_slow __asm__("slow_sleep");
extern wait_call send_fast __asm__("send"), send_slow __asm__("slow_send");
extern wait_call receive_fast __asm__("receive"), receive_slow __asm__("slow_receive");
extern wait_call settime_fast __asm__("settime"), settime_slow __asm__("slow_settime");

static long rounds, calls, interrupted, wrong;
static volatile long handled;

static void handle(int number)
{
    (void)number;
    __atomic_add_fetch(&handled, 1, __ATOMIC_SEQ_CST);
}

static void expect(const char *what, int is_right, long result)
{
    __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED);
    if (is_right)
        return;
    if (result == -EINTR)
        __atomic_add_fetch(&interrupted, 1, __ATOMIC_RELAXED);
    else if (__atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED) < 10)
        fprintf(stderr, "%s: %ld\n", what, result);
}

static long messages(mqd_t queue)
{
    struct mq_attr attributes;

    return mq_getattr(queue, &attributes) ? -1 : attributes.mq_curmsgs;
}

/* `made` is how many messages there must be after a call that succeeds, `failed` after another. */
static void expect_messages(const char *what, mqd_t queue, int succeeded, long made, long failed)
{
    long found = messages(queue);

    if (found != (succeeded ? made : failed))
        expect(what, 0, found);
}

static void one_round(mqd_t queue, int timer, long number, int slow)
{
    struct timespec until = at(now(CLOCK_REALTIME) + 60 * SECOND);
    struct itimerspec setting = { { 0, 0 }, { 0, 0 } };
    long message = number, before = messages(queue), result;

    result = (slow ? send_slow : send_fast)(queue, (long)&message, sizeof message, 0, (long)&until);
    expect("send", result == 0, result);
    expect_messages("sent", queue, result == 0, before + 1, before);
    if (result == 0) {
        message = -1;
        do
            result = (slow ? receive_slow : receive_fast)(queue, (long)&message, sizeof message, 0, (long)&until);
        while (result == -EINTR && (expect("receive", 0, result), 1));
        expect("receive", result == sizeof message && message == number, result);
        expect_messages("received", queue, result > 0, before, before + 1);
    }
    until = at(now(CLOCK_REALTIME) + MILLISECOND / 4);
    result = (slow ? receive_slow : receive_fast)(queue, (long)&message, sizeof message, 0, (long)&until);
    expect("receive nothing", result == -ETIMEDOUT && is_over(CLOCK_REALTIME, &until), result);
    until = at(now(CLOCK_MONOTONIC) + MILLISECOND / 4);
    result = (slow ? sleep_slow : sleep_fast)(CLOCK_MONOTONIC, TIMER_ABSTIME, (long)&until, 0, 0);
    expect("sleep", result == 0 && is_over(CLOCK_MONOTONIC, &until), result);
    setting.it_value = at(now(CLOCK_REALTIME) + 100 * SECOND);
    result = (slow ? settime_slow : settime_fast)(timer, TFD_TIMER_ABSTIME, (long)&setting, 0, 0);
    expect("set", result == 0, result);
    timerfd_gettime(timer, &setting);
    if (result == 0 && (setting.it_value.tv_sec < 90 || setting.it_value.tv_sec >= 100))
        expect("is set", 0, setting.it_value.tv_sec);
}

static void *thread(void *number)
{
    struct mq_attr attributes = { .mq_maxmsg = 2, .mq_msgsize = sizeof(long) };
    int timer = timerfd_create(CLOCK_REALTIME, 0);
    char name[64];
    mqd_t queue;

    snprintf(name, sizeof name, "/wait_storm-%d-%ld", getpid(), (long)number);
    queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
    if (queue < 0 || mq_unlink(name) || timer < 0)
        exit(3);
    for (long i = 0; i < rounds; i++)
        one_round(queue, timer, i, (int)(((long)number + i) % 2));
    mq_close(queue);
    close(timer);
    return NULL;
}

int main(int argc, char **argv)
{
    long interval = argc > 4 ? atol(argv[4]) : 150;
    struct itimerval often = { { 0, interval }, { 0, interval } }, never = { { 0, 0 }, { 0, 0 } };
    struct sigaction action = { .sa_handler = handle };
    int threads = argc > 3 ? atoi(argv[1]) : 0;
    pthread_t started[64];
    sigset_t alarm;

    if (threads < 1 || threads > 64)
        return 2;
    rounds = atol(argv[2]);
    if (!strcmp(argv[3], "restarting"))
        action.sa_flags = SA_RESTART;
    sigaction(SIGALRM, &action, NULL);
    if (strcmp(argv[3], "quiet"))
        setitimer(ITIMER_REAL, &often, NULL);
    for (long i = 0; i < threads; i++)
        pthread_create(&started[i], NULL, thread, (void *)i);
    /* The others take the signals in turn. */
    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    pthread_sigmask(SIG_BLOCK, &alarm, NULL);
    for (int i = 0; i < threads; i++)
        pthread_join(started[i], NULL);
    setitimer(ITIMER_REAL, &never, NULL);
    printf("calls %ld interrupted %ld wrong %ld\n", calls, interrupted, wrong);
    return wrong != 0;
}
