/* Makes every call with a relative time, and some with none, from call sites of each kind.
 *
 * Uses sites with absolute times first, prints `ready PID`, and goes on when it is sent SIGUSR1: the
 * supervisor may be stopped meanwhile. Each row is `DOOR CALL: RESULT`. The last two are absolute:
 * `patched absolute`, by a site that was used before, and `asking absolute`, by one that was not, whose deadline
 * has passed; a handler takes it out of its call after a second.
 */
#define _GNU_SOURCE
#include "waits/sites.h"

#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/time.h>

enum { NR_nanosleep = 35, NR_io_setup = 206, NR_io_getevents = 208, NR_epoll_pwait2 = 441 };
enum { FUTEX_WAIT = 0, FUTEX_WAKE = 1, FUTEX_REQUEUE = 3, FUTEX_LOCK_PI = 6, FUTEX_UNLOCK_PI = 7,
       FUTEX_WAIT_BITSET = 9, PRIVATE = 128, FUTEX_32 = 2 };

#define NANOS 5000000L
#define FRESH_SITE 7
#define ASKING_SITE 8

static const struct timespec moment = { 0, NANOS }, past = { 0, 1 };
static const char *door, *row = "none";
static volatile sig_atomic_t may_ask;

static long long now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

/* A minute is enough for each, also where all is busy. */
static void on_alarm(int number)
{
    (void)number;
    if (may_ask)
        return;
    dprintf(1, "%s %s: IS ANSWERED BY NOBODY\n", door, row);
    _exit(3);
}

static long raw(long nr, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
    long result;

    __asm__ volatile("syscall" : "=a"(result)
                     : "0"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

static bool has_sites(long nr)
{
    return nr == NR_futex || nr == NR_timer_settime || nr == NR_clock_nanosleep
        || nr == NR_mq_timedsend || nr == NR_mq_timedreceive || nr == NR_timerfd_settime
        || nr == NR_futex_waitv || nr == NR_futex_wait;
}

/* The ways to make a call. */
enum door { OF_ITS_OWN, PATCHED, UNPATCHABLE, BY_LIBC, BY_SYSCALL, DOORS };
static const char *const doors[] = { "fresh", "patched", "plain", "libc", "syscall" };
static enum door through;

static long go(long nr, long a, long b, long c, long d, long e, long f)
{
    long result;

    if (through == BY_LIBC)
        return by_libc(nr, a, b, c, d, e, f);
    if (through == BY_SYSCALL) {
        result = syscall(nr, a, b, c, d, e, f);
        return result < 0 ? -errno : result;
    }
    if (!has_sites(nr))
        return raw(nr, a, b, c, d, e, f);
    return site(nr, through == OF_ITS_OWN ? FRESH_SITE : through == PATCHED ? 0 : SITES)
        (a, b, c, d, e, f);
}

/* Says what a call has returned, and whether it has waited if it should. */
static void say(const char *name, long result, long long since)
{
    printf("%s %s: %ld%s\n", door, name, result,
           !since ? "" : now() - since >= NANOS ? ", has waited" : ", HAS NOT WAITED");
}

#define ROW(name, waits, ...) do {                      \
        long long since_;                               \
        row = name;                                     \
        alarm(60);                                      \
        since_ = now();                                 \
        say(name, go(__VA_ARGS__), (waits) ? since_ : 0); \
    } while (0)

static void sleeps(void)
{
    static const struct { int id; const char *name; } clocks[] = {
        { 0, "clock_nanosleep REALTIME" }, { 1, "clock_nanosleep MONOTONIC" },
        { 7, "clock_nanosleep BOOTTIME" }, { 11, "clock_nanosleep TAI" },
    };

    for (unsigned i = 0; i < sizeof clocks / sizeof *clocks; i++)
        ROW(clocks[i].name, true, NR_clock_nanosleep, clocks[i].id, 0, (long)&moment, 0, 0, 0);
    ROW("clock_nanosleep until a processor's time", false, NR_clock_nanosleep, 2, 1, (long)&past, 0, 0, 0);
    ROW("nanosleep", true, NR_nanosleep, (long)&moment, 0, 0, 0, 0, 0);
}

static void futexes(void)
{
    static unsigned word, other;
    unsigned long long waiter[3] = { 41, (unsigned long)&word, FUTEX_32 | PRIVATE };
    long at = (long)&word, there = (long)&other;

    word = 42;
    ROW("futex WAIT", true, NR_futex, at, FUTEX_WAIT, 42, (long)&moment, 0, 0);
    ROW("futex WAIT private", true, NR_futex, at, FUTEX_WAIT | PRIVATE, 42, (long)&moment, 0, 0);
    ROW("futex WAIT without a time", false, NR_futex, at, FUTEX_WAIT, 41, 0, 0, 0);
    ROW("futex WAIT_BITSET without a time", false, NR_futex, at, FUTEX_WAIT_BITSET, 41, 0, 0, ~0U);
    ROW("futex WAKE", false, NR_futex, at, FUTEX_WAKE, 1, (long)&moment, 0, 0);
    ROW("futex REQUEUE", false, NR_futex, at, FUTEX_REQUEUE, 1, (long)&moment & 0x7fffffff, there, 0);
    word = 0;
    ROW("futex LOCK_PI without a time", false, NR_futex, at, FUTEX_LOCK_PI, 0, 0, 0, 0);
    ROW("futex UNLOCK_PI", false, NR_futex, at, FUTEX_UNLOCK_PI, 0, 0, 0, 0);
    word = 42;
    ROW("futex_waitv without a time", false, NR_futex_waitv, (long)waiter, 1, 0, 0, 1, 0);
    ROW("futex_wait without a time", false, NR_futex_wait, at, 41, ~0U, FUTEX_32 | PRIVATE, 0, 1);
}

static void timers(int timer, int timerfd, int queue)
{
    struct itimerspec once = { { 0, 0 }, { 0, NANOS } }, left;
    unsigned long long ticks;
    char message[8];
    sigset_t set;
    long long since;

    since = now();
    ROW("timer_settime", false, NR_timer_settime, timer, 0, (long)&once, 0, 0, 0);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    row = "a timer's signal";
    say(row, sigwaitinfo(&set, NULL) == SIGUSR2, since);
    ROW("timer_gettime", false, SYS_timer_gettime, timer, (long)&left, 0, 0, 0, 0);
    since = now();
    ROW("timerfd_settime", false, NR_timerfd_settime, timerfd, 0, (long)&once, 0, 0, 0);
    row = "a timerfd's read";
    say(row, read(timerfd, &ticks, sizeof ticks), since);
    ROW("timerfd_gettime", false, SYS_timerfd_gettime, timerfd, (long)&left, 0, 0, 0, 0);
    ROW("mq_timedreceive without a time", false, NR_mq_timedreceive, queue, (long)message, 8, 0, 0, 0);
    ROW("mq_timedsend without a time", false, NR_mq_timedsend, queue, (long)message, 9, 0, 0, 0);
}

static void polls(int epoll, int socket, int semaphore, long ring)
{
    struct timespec time = moment;
    struct { void *at; size_t size; } mask = { NULL, 8 };
    struct timeval micros = { 0, NANOS / 1000 };
    struct epoll_event event;
    struct sembuf down = { 0, -1, 0 };
    struct mmsghdr messages[1] = { { .msg_len = 0 } };
    char events[32];
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    ROW("poll", true, SYS_poll, 0, 0, NANOS / 1000000, 0, 0, 0);
    ROW("ppoll", true, SYS_ppoll, 0, 0, (long)&time, 0, 8, 0);
    time = moment;
    ROW("select", true, SYS_select, 0, 0, 0, 0, (long)&micros, 0);
    ROW("pselect6", true, SYS_pselect6, 0, 0, 0, 0, (long)&time, (long)&mask);
    ROW("epoll_wait", true, SYS_epoll_wait, epoll, (long)&event, 1, NANOS / 1000000, 0, 0);
    ROW("epoll_pwait", true, SYS_epoll_pwait, epoll, (long)&event, 1, NANOS / 1000000, 0, 8);
    ROW("epoll_pwait2", false, NR_epoll_pwait2, epoll, (long)&event, 1, (long)&moment, 0, 8);
    ROW("rt_sigtimedwait", true, SYS_rt_sigtimedwait, (long)&set, 0, (long)&moment, 8, 0, 0);
    ROW("semtimedop", true, SYS_semtimedop, semaphore, (long)&down, 1, (long)&moment, 0, 0);
    ROW("recvfrom until SO_RCVTIMEO", false, SYS_recvfrom, socket, (long)events, 1, 0, 0, 0);
    time = moment;
    ROW("recvmmsg", false, SYS_recvmmsg, socket, (long)messages, 1, 0, (long)&time, 0);
    time = moment;
    ROW("io_getevents", false, NR_io_getevents, ring, 1, 1, (long)events, (long)&time, 0);
}

static void unlisted(void)
{
    struct itimerval off = { { 0, 0 }, { 0, 0 } };
    struct timespec resolution;

    ROW("setitimer", false, SYS_setitimer, ITIMER_VIRTUAL, (long)&off, 0, 0, 0, 0);
    ROW("getitimer", false, SYS_getitimer, ITIMER_VIRTUAL, (long)&off, 0, 0, 0, 0);
    ROW("clock_getres", false, SYS_clock_getres, 0, (long)&resolution, 0, 0, 0, 0);
    ROW("clock_gettime of a processor's time", false, SYS_clock_gettime, 2, (long)&resolution, 0, 0, 0, 0);
    ROW("sched_yield", false, SYS_sched_yield, 0, 0, 0, 0, 0, 0);
}

/* So that the sites that are shared lead to the gate. */
static void use_sites(void)
{
    static const struct timespec times[2] = { { 0, 0 }, { 0, 1 } };
    static const int numbers[] = { NR_futex, NR_clock_nanosleep, NR_futex_wait, NR_futex_waitv };
    unsigned word = 42;

    for (int i = 0; i < 4; i++) {
        site(NR_clock_nanosleep, 0)(1, 1, (long)&past, 0, 0, 0);
        site(NR_futex, 0)((long)&word, FUTEX_WAIT_BITSET, 42, (long)&past, 0, ~0U);
        site(NR_timer_settime, 0)(12345, 1, (long)times, 0, 0, 0);
        site(NR_timerfd_settime, 0)(-1, 1, (long)times, 0, 0, 0);
        site(NR_mq_timedsend, 0)(-1, (long)times, 8, 0, (long)&past, 0);
        site(NR_mq_timedreceive, 0)(-1, (long)times, 8, 0, (long)&past, 0);
        site(NR_futex_wait, 0)((long)&word, 42, ~0U, FUTEX_32, (long)&past, 1);
        site(NR_futex_waitv, 0)((long)&word, 0, 0, (long)&past, 1, 0);
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &past, NULL);
        for (unsigned k = 0; k < sizeof numbers / sizeof *numbers; k++)
            syscall(numbers[k], &word, FUTEX_WAIT_BITSET, 42, &past, 0, ~0U);
    }
}

int main(void)
{
    struct sigaction action = { .sa_handler = on_alarm };
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2 };
    struct mq_attr size = { .mq_maxmsg = 1, .mq_msgsize = 8 };
    struct timeval micros = { 0, NANOS / 1000 };
    struct timespec end = { 0, 0 };
    int timerfd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC), epoll = epoll_create1(0);
    int semaphore = semget(IPC_PRIVATE, 1, 0600), sockets[2], number, timer;
    long long since;
    long ring = 0;
    char name[64];
    sigset_t set;
    int queue;

    snprintf(name, sizeof name, "elsewhen-relative-%d", getpid());
    queue = syscall(SYS_mq_open, name, O_CREAT | O_EXCL | O_RDWR | O_NONBLOCK, 0600, &size);
    syscall(SYS_mq_unlink, name);
    if (timerfd < 0 || epoll < 0 || semaphore < 0 || queue < 0
        || syscall(SYS_timer_create, CLOCK_REALTIME, &event, &timer)
        || socketpair(AF_UNIX, SOCK_DGRAM, 0, sockets)
        || setsockopt(sockets[0], SOL_SOCKET, SO_RCVTIMEO, &micros, sizeof micros))
        return 2;
    syscall(NR_io_setup, 1, &ring);
    sigaction(SIGALRM, &action, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, NULL);
    use_sites();
    sigdelset(&set, SIGUSR2);
    dprintf(1, "ready %d\n", getpid());
    sigwait(&set, &number);

    for (through = 0; through < DOORS; through++) {
        door = doors[through];
        sleeps();
        futexes();
        timers(timer, timerfd, queue);
        polls(epoll, sockets[0], semaphore, ring);
        unlisted();
    }

    door = "patched";
    row = "absolute";
    alarm(60);
    since = now();
    end.tv_sec = (since + NANOS) / 1000000000;
    end.tv_nsec = (since + NANOS) % 1000000000;
    say(row, site(NR_clock_nanosleep, 0)(1, 1, (long)&end, 0, 0, 0), since);
    door = "asking";
    may_ask = 1;
    alarm(1);
    say(row, site(NR_clock_nanosleep, ASKING_SITE)(1, 1, (long)&past, 0, 0, 0), 0);
    semctl(semaphore, 0, IPC_RMID);
    fflush(stdout);
    dprintf(1, "done\n");
    return 0;
}
