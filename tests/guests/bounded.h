/* A program that would wait for ever ends with a sentence instead.
 *
 * By a timer: its relative time asks nobody, and children do not inherit it.
 */
#include <stdio.h>
#include <time.h>

/* Seconds: enough where all is busy, and less than tests wait for a program. */
#ifndef BOUND
#define BOUND 100
#endif

static const char *volatile bounded;

static void on_bound(int number)
{
    char text[160];
    int length = snprintf(text, sizeof text, "%s: STILL WAITS AFTER %d SECONDS\n", bounded, BOUND);

    (void)number;
    (void)!write(1, text, length);
    (void)!write(2, text, length);
    _exit(3);
}

/* What is to have ended, or to be named next, within the bound. */
static void bound(const char *what)
{
    static timer_t timer;
    static pid_t of;
    struct itimerspec within;
    struct sigaction action;
    struct sigevent event;

    bounded = what;
    if (of != getpid()) {
        memset(&action, 0, sizeof action);
        action.sa_handler = on_bound;
        sigaction(SIGRTMAX - 1, &action, NULL);
        memset(&event, 0, sizeof event);
        event.sigev_notify = SIGEV_SIGNAL;
        event.sigev_signo = SIGRTMAX - 1;
        if (timer_create(CLOCK_MONOTONIC, &event, &timer))
            _exit(2);
        of = getpid();
    }
    memset(&within, 0, sizeof within);
    within.it_value.tv_sec = BOUND;
    if (timer_settime(timer, 0, &within, NULL))
        _exit(2);
}
