/* What a program of the fuzzer has: its lines, where its lines go, and who interrupts it. */
#ifndef FUZZ_STATE_H
#define FUZZ_STATE_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/times.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif
#ifndef SYS_futex_wait
#define SYS_futex_wait 455
#endif
#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

/* The line that is being done, and its number. */
static const char *line_text;
static int line_number;

static void say(const char *format, ...)
{
    char text[512];
    va_list rest;
    int len = snprintf(text, 256, "%d %s: ", line_number, line_text);

    va_start(rest, format);
    len += vsnprintf(text + len, sizeof text - len - 1, format, rest);
    va_end(rest);
    text[len++] = '\n';
    if (write(1, text, len) != len)
        _exit(3);
}

static const char *error_name(long result)
{
    static _Thread_local char number[16];

    if (result >= 0)
        return "0";
    switch (errno) {
    case EAGAIN: return "EAGAIN";
    case EBADF: return "EBADF";
    case EDEADLK: return "EDEADLK";
    case EFAULT: return "EFAULT";
    case EINTR: return "EINTR";
    case EINVAL: return "EINVAL";
    case EMSGSIZE: return "EMSGSIZE";
    case ENODEV: return "ENODEV";
    case ENOSYS: return "ENOSYS";
    case EOPNOTSUPP: return "EOPNOTSUPP";
    case EPERM: return "EPERM";
    case ESRCH: return "ESRCH";
    case ETIMEDOUT: return "ETIMEDOUT";
    }
    snprintf(number, sizeof number, "E%d", errno);
    return number;
}

/* As functions do that return an error's number. */
static long from_number(int error)
{
    errno = error;
    return error ? -1 : 0;
}

static void die(const char *what)
{
    perror(what);
    _exit(3);
}

/* What capget(2) and capset(2) take; musl has no header for it. */
#define CAPABILITY_VERSION 0x20080522
#define SYS_TIME_CAPABILITY 25

/* No program of ours sets the clock of a machine that it is not shifted on. */
static void give_up_setting_clocks(void)
{
    struct { uint32_t version; int pid; } header = { CAPABILITY_VERSION, 0 };
    struct { uint32_t effective, permitted, inheritable; } sets[2];
    uint32_t bit = 1u << SYS_TIME_CAPABILITY;

    prctl(PR_CAPBSET_DROP, SYS_TIME_CAPABILITY, 0, 0, 0);
    if (syscall(SYS_capget, &header, sets))
        die("capget");
    sets[0].effective &= ~bit;
    sets[0].permitted &= ~bit;
    sets[0].inheritable &= ~bit;
    if (syscall(SYS_capset, &header, sets) || syscall(SYS_capget, &header, sets))
        die("capset");
    if ((sets[0].effective | sets[0].permitted) & bit) {
        fputs("the right to set clocks cannot be given up\n", stderr);
        _exit(3);
    }
}

/* --- who interrupts the next wait: a timer that fires again and again --- */

static int alarm_ms, alarm_restarts;
static timer_t alarm_timer;
static atomic_int handled;

static void handler(int signal)
{
    int kept = errno;
    struct timespec now;

    (void)signal;
    clock_gettime(CLOCK_REALTIME, &now);
    handled++;
    errno = kept;
}

static void alarm_on(void)
{
    struct sigaction action = { .sa_handler = handler };
    struct itimerspec spec = { { 0, alarm_ms * 1000000L }, { 0, alarm_ms * 1000000L } };
    struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1 };

    if (!alarm_ms)
        return;
    action.sa_flags = alarm_restarts ? SA_RESTART : 0;
    sigaction(SIGUSR1, &action, NULL);
    event.sigev_notify_thread_id = syscall(SYS_gettid);
    if (timer_create(CLOCK_MONOTONIC, &event, &alarm_timer) ||
        timer_settime(alarm_timer, 0, &spec, NULL))
        die("alarm");
}

static void alarm_off(void)
{
    if (alarm_ms)
        timer_delete(alarm_timer);
    alarm_ms = 0;
}

/* --- who holds the locks that are waited for --- */

static atomic_int holder_tid;
static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;

static void *hold(void *nothing)
{
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    pthread_mutex_lock(&held);
    holder_tid = syscall(SYS_gettid);
    for (;;)
        pause();
    return nothing;
}

/* fork(2) leaves the holder behind. */
static void need_holder(void)
{
    static pid_t of;
    pthread_t thread;

    if (of == getpid())
        return;
    of = getpid();
    holder_tid = 0;
    pthread_mutex_init(&held, NULL);
    if (pthread_create(&thread, NULL, hold, NULL))
        die("thread");
    while (!holder_tid)
        sched_yield();
}

#endif
