/* Timers and timerfds. */
#ifndef FUZZ_TIMERS_H
#define FUZZ_TIMERS_H

#include "times.h"

#define SLOTS 4

static struct { timer_t id; int is_made, clock; struct given given; } timers[SLOTS];
static struct { int fd, clock; struct given given; } timerfds[SLOTS];

static const char *with_interval(struct itimerspec spec)
{
    static _Thread_local char text[128];

    snprintf(text, sizeof text, "%s every %ld.%09ld", about(spec.it_value),
             (long)spec.it_interval.tv_sec, spec.it_interval.tv_nsec);
    return text;
}

static void make_timer(int slot, int clock)
{
    struct sigevent event = { .sigev_notify = SIGEV_NONE };
    long result = timer_create(clock, &event, &timers[slot].id);

    timers[slot].is_made = result == 0;
    timers[slot].clock = clock;
    say("%s", error_name(result));
}

static long id_of(int slot)
{
    return timers[slot].is_made ? (long)(intptr_t)timers[slot].id : 12345;
}

/* `old` may be an address like those of times. */
static void set_timer(int slot, int flags, const char *word, long interval, const char *old)
{
    struct itimerspec before = { { 9, 9 }, { 9, 9 } };
    struct given *given = &timers[slot].given;
    void *to = strcmp(old, "old") ? bad_address(old) : &before;
    long result;

    give(given, word, timers[slot].clock, flags & TIMER_ABSTIME, interval);
    result = syscall(SYS_timer_settime, id_of(slot), flags, given->at, to);
    if (result || to != &before)
        say("%s", error_name(result));
    else
        say("0, before %s", with_interval(before));
}

static void ask_timer(int slot)
{
    struct itimerspec now = { { 0, 0 }, { 0, 0 } };
    long result = syscall(SYS_timer_gettime, id_of(slot), &now);

    say("%s %s", error_name(result), with_interval(now));
}

/* Waits for a timer that is to fire soon, and looks when it does. */
static void await_timer(int slot)
{
    struct itimerspec now = { { 0, 0 }, { 0, 0 } };
    struct timespec nap = { 0, 2000000 };

    for (int i = 0; i < 2000; i++) {
        if (syscall(SYS_timer_gettime, id_of(slot), &now)) {
            say("%s", error_name(-1));
            return;
        }
        if (now.it_value.tv_sec > 3 || now.it_interval.tv_sec || now.it_interval.tv_nsec) {
            say("not awaited");
            return;
        }
        if (!now.it_value.tv_sec && !now.it_value.tv_nsec) {
            say("%s", moment(&timers[slot].given));
            return;
        }
        nanosleep(&nap, NULL);
    }
    say("NEVER");
}

/* A timer of its own that sends a signal, which is awaited. */
static void await_signal(int clock, int flags, const char *word)
{
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2 };
    struct timespec limit = { 2, 0 };
    struct given given;
    timer_t timer;
    sigset_t usr2;
    long result;

    sigemptyset(&usr2);
    sigaddset(&usr2, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &usr2, NULL);
    if (timer_create(clock, &event, &timer)) {
        say("%s", error_name(-1));
        return;
    }
    give(&given, word, clock, flags & TIMER_ABSTIME, 0);
    result = syscall(SYS_timer_settime, timer, flags, given.at, NULL);
    if (result)
        say("%s", error_name(result));
    else if (sigtimedwait(&usr2, NULL, &limit) < 0)
        say("no signal");
    else
        say("signal, %s", moment(&given));
    timer_delete(timer);
}

static void delete_timer(int slot)
{
    long result = syscall(SYS_timer_delete, id_of(slot));

    timers[slot].is_made = 0;
    say("%s", error_name(result));
}

static void make_timerfd(int slot, int clock)
{
    if (timerfds[slot].fd > 0)
        close(timerfds[slot].fd);
    timerfds[slot].fd = timerfd_create(clock, TFD_NONBLOCK);
    timerfds[slot].clock = clock;
    say("%s", error_name(timerfds[slot].fd));
}

static int fd_of(int slot)
{
    return timerfds[slot].fd > 0 ? timerfds[slot].fd : 1000;
}

static void set_timerfd(int slot, int flags, const char *word, long interval, const char *old)
{
    struct itimerspec before = { { 9, 9 }, { 9, 9 } };
    struct given *given = &timerfds[slot].given;
    void *to = strcmp(old, "old") ? bad_address(old) : &before;
    long result;

    give(given, word, timerfds[slot].clock, flags & TFD_TIMER_ABSTIME, interval);
    result = syscall(SYS_timerfd_settime, fd_of(slot), flags, given->at, to);
    if (result || to != &before)
        say("%s", error_name(result));
    else
        say("0, before %s", with_interval(before));
}

static void ask_timerfd(int slot)
{
    struct itimerspec now = { { 0, 0 }, { 0, 0 } };
    long result = timerfd_gettime(fd_of(slot), &now);

    say("%s %s", error_name(result), with_interval(now));
}

static void read_timerfd(int slot)
{
    struct itimerspec now = { { 0, 0 }, { 0, 0 } };
    struct pollfd ready = { .fd = fd_of(slot), .events = POLLIN };
    uint64_t count = 0;
    long result;

    if (!timerfd_gettime(fd_of(slot), &now) && now.it_value.tv_sec < 3 &&
        (now.it_value.tv_sec || now.it_value.tv_nsec))
        poll(&ready, 1, 10000);
    result = read(fd_of(slot), &count, sizeof count);
    if (result < 0)
        say("%s", error_name(result));
    else
        say("%s %s", count > 1 ? "some" : "one", moment(&timerfds[slot].given));
}

#endif
