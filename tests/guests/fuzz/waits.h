/* Calls that wait for a time. */
#ifndef FUZZ_WAITS_H
#define FUZZ_WAITS_H

#include "times.h"
#include <mqueue.h>

static void is_over(const struct given *given, long result)
{
    int is_end = result >= 0 || errno == ETIMEDOUT;
    const char *error = error_name(result);

    alarm_off();
    say("%s%s%s", error, is_end ? " " : "", is_end ? moment(given) : "");
}

static void sleep_until(const char *how, int clock, int flags, const char *word)
{
    struct timespec left = { 7, 7 };
    struct given given;
    long result;

    give(&given, word, clock, flags & TIMER_ABSTIME, -1);
    alarm_on();
    if (!strcmp(how, "sleep"))
        result = from_number(clock_nanosleep(clock, flags, given.at, &left));
    else
        result = syscall(SYS_clock_nanosleep, clock, flags, given.at, &left);
    if (result < 0 && errno == EINTR) {
        alarm_off();
        /* Of an absolute sleep the kernel tells no rest. */
        say("EINTR, left %s", left.tv_sec == 7 && left.tv_nsec == 7 ? "nothing told" : about(left));
        return;
    }
    is_over(&given, result);
}

#define LOCK_PI 6
#define LOCK_PI2 13
#define REQUEUE_PI 11
#define REALTIME_BIT 256

static void wait_for_word(int op, unsigned value, const char *word)
{
    static uint32_t words[2];
    int command = op & 127, clock = CLOCK_MONOTONIC, is_pi;
    struct given given;
    long result;

    is_pi = command == LOCK_PI || command == LOCK_PI2;
    words[0] = 0;
    if (is_pi) {
        need_holder();
        words[0] = holder_tid;
    }
    if (command == LOCK_PI || op & REALTIME_BIT)
        clock = CLOCK_REALTIME;
    give(&given, word, clock, command != 0, -1);
    alarm_on();
    result = syscall(SYS_futex, &words[0], op, value, given.at, &words[1],
                     command == REQUEUE_PI ? 0 : 0xffffffff);
    is_over(&given, result);
}

struct waiter {
    uint64_t value, address;
    uint32_t flags, reserved;
};

static void wait_for_words(int clock, unsigned count, const char *word)
{
    static uint32_t words[2];
    struct waiter waiters[2] = { { 0, (uintptr_t)&words[0], 2, 0 },
                                 { 0, (uintptr_t)&words[1], 2, 0 } };
    struct given given;

    give(&given, word, clock, 1, -1);
    alarm_on();
    is_over(&given, syscall(SYS_futex_waitv, waiters, count, 0, given.at, clock));
}

static void wait_by_futex2(int clock, unsigned value, const char *word)
{
    static uint32_t futex;
    struct given given;

    give(&given, word, clock, 1, -1);
    alarm_on();
    is_over(&given, syscall(SYS_futex_wait, &futex, (long)value, 0xffffffffL, 2, given.at, clock));
}

/* A queue with room for one: empty for who receives, full for who sends. */
static void wait_for_message(const char *how, const char *word)
{
    struct mq_attr attributes = { .mq_maxmsg = 1, .mq_msgsize = 8 };
    int sends = strstr(how, "send") != NULL, by_libc = !strncmp(how, "mq_", 3);
    char name[32], message[8] = "message";
    struct given given;
    long result;
    mqd_t queue;

    snprintf(name, sizeof name, "/elsewhen-%d", getpid());
    queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
    if (queue == (mqd_t)-1)
        die("mq_open");
    mq_unlink(name);
    if (sends)
        mq_send(queue, message, 8, 0);
    give(&given, word, CLOCK_REALTIME, 1, -1);
    alarm_on();
    if (by_libc)
        result = sends ? mq_timedsend(queue, message, 8, 0, given.at)
                       : mq_timedreceive(queue, message, 8, NULL, given.at);
    else
        result = syscall(sends ? SYS_mq_timedsend : SYS_mq_timedreceive, queue, message, 8L, 0L,
                         given.at);
    is_over(&given, result);
    mq_close(queue);
}

static void wait_by_libc(const char *what, int clock, const char *word)
{
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t cond;
    pthread_condattr_t attributes;
    struct given given;
    long result = 0;
    sem_t sem;

    if (strcmp(what, "cond"))
        clock = CLOCK_REALTIME;
    if (!strcmp(what, "mutex"))
        need_holder();
    give(&given, word, clock, 1, -1);
    alarm_on();
    if (!strcmp(what, "sem")) {
        sem_init(&sem, 0, 0);
        result = sem_timedwait(&sem, given.at);
    } else if (!strcmp(what, "mutex")) {
        result = from_number(pthread_mutex_timedlock(&held, given.at));
    } else {
        pthread_condattr_init(&attributes);
        result = from_number(pthread_condattr_setclock(&attributes, clock));
        if (!result) {
            pthread_cond_init(&cond, &attributes);
            pthread_mutex_lock(&mutex);
            while (!result)
                result = from_number(pthread_cond_timedwait(&cond, &mutex, given.at));
            pthread_mutex_unlock(&mutex);
        }
    }
    is_over(&given, result);
}

static void nap(const char *how, long ms)
{
    struct timespec time = { ms / 1000, ms % 1000 * 1000000 };
    struct timeval val = { ms / 1000, ms % 1000 * 1000 };
    struct given given;
    char word[32];
    long result;

    snprintf(word, sizeof word, "now+%ld", ms);
    give(&given, word, CLOCK_MONOTONIC, 0, -1);
    if (!strcmp(how, "poll"))
        result = poll(NULL, 0, ms);
    else if (!strcmp(how, "select"))
        result = select(0, NULL, NULL, NULL, &val);
    else
        result = nanosleep(&time, NULL);
    is_over(&given, result);
}

#endif
