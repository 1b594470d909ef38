/* Makes one call very often, under a storm of signals or without, and counts what it does.
 *
 *   exactly_once CALL COUNT quiet|norestart|restart known|unknown
 *
 *   CALL      sleep, futex, lock_pi, send, receive, timer, timerfd
 *   quiet     no signals; the others: one each 100 us, its handler without or with SA_RESTART
 *   known     the number is loaded by an immediate operand just before `syscall`
 *   unknown   it comes from memory, so that nobody can tell the call by its site
 *
 * After each call all registers, the flags and the red zone are compared with what they were. All
 * that is wrong is printed, and at the end `CALL: N wrong`. What happened goes to standard error.
 */
#define _GNU_SOURCE
#include "absolute.h"
#include "probe.h"
#include <sys/time.h>
#include <sys/timerfd.h>

PROBE(known_sleep, "mov $230, %eax");
PROBE(known_futex, "mov $202, %eax");
PROBE(known_send, "mov $242, %eax");
PROBE(known_receive, "mov $243, %eax");
PROBE(known_timer, "mov $223, %eax");
PROBE(known_timerfd, "mov $286, %eax");
PROBE(unknown, "mov probe_in(%rip), %rax");

static volatile sig_atomic_t handled;
static int is_restarting, is_known;
static long wrong, done, interrupted, expired;
static volatile int is_over;

static void count(int number)
{
    volatile unsigned char below[700];

    (void)number;
    memset((void *)below, 0xee, sizeof below);
    __asm__ volatile(".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
                     "pcmpeqd %%xmm\\n, %%xmm\\n\n.endr" ::
                         : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
                           "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
    handled++;
}

static void complain(const char *what, long value)
{
    if (wrong++ < 20)
        printf("%s: %ld\n", what, value);
}

/* The call; `may_end` says whether Linux ends it with EINTR after a handler with SA_RESTART. */
static long make(void (*site)(void), long nr, int n, const long *arguments, int may_end)
{
    sig_atomic_t before = handled;
    long result;

    if (probe(is_known ? site : unknown, nr, n, arguments, &result))
        complain("the machine's state has changed after", nr);
    if (result == -EINTR) {
        interrupted++;
        if (handled == before)
            complain("EINTR without a handler", nr);
        else if (is_restarting && !may_end)
            complain("EINTR in spite of SA_RESTART", nr);
    } else if (result == -ETIMEDOUT)
        expired++;
    else if (result >= 0)
        done++;
    return result;
}

static void expect_expired(clockid_t clock, const struct timespec *t)
{
    if (now(clock) < nanos(*t))
        complain("a wait expired before its time on clock", clock);
}

/* The deadline of the nth call: long past, or so near that signals fall before and after it. */
static struct timespec deadline(clockid_t clock, long n)
{
    struct timespec t = from_now(clock, n % 4 == 3 ? -1000 : 0);
    int64_t then = nanos(t) + (n % 4 == 3 ? 0 : 1000 * (20 + 77 * n % 300));

    t.tv_sec = then / 1000000000;
    t.tv_nsec = then % 1000000000;
    return t;
}

static struct timespec far(clockid_t clock)
{
    return from_now(clock, 1000000);
}

static void sleeps(long count)
{
    static const clockid_t clocks[] = { CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_TAI };
    long n;

    for (n = 0; n < count; n++) {
        clockid_t clock = clocks[n / 4 % 4];
        struct timespec t = deadline(clock, n), copy = t;
        int64_t start = now(CLOCK_MONOTONIC);
        long arguments[4] = { clock, TIMER_ABSTIME, (long)&t, 0 };
        long result = make(known_sleep, SYS_clock_nanosleep, 4, arguments, 1);

        if (result && result != -EINTR)
            complain("a sleep's result", result);
        if (!result && now(clock) < nanos(t))
            complain("a sleep ended before its time on clock", clock);
        if (now(CLOCK_MONOTONIC) - start > LATE_SECONDS * 1000000000LL)
            complain("a sleep ended too late on clock", clock);
        if (memcmp(&t, &copy, sizeof t))
            complain("a sleep changed its time", clock);
    }
}

static long woken;

static void *wake(void *arg)
{
    const struct timespec moment = { 0, 30000 };

    while (!is_over) {
        woken += syscall(SYS_futex, &word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1);
        nanosleep(&moment, NULL);
    }
    return arg;
}

/* Each wake-up ends one wait, and no other wait ends well. */
static void futexes(long count)
{
    long n, ended = 0;
    pthread_t thread;
    sigset_t all, old;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pthread_create(&thread, NULL, wake, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    for (n = 0; n < count; n++) {
        int realtime = n / 4 % 2;
        clockid_t clock = realtime ? CLOCK_REALTIME : CLOCK_MONOTONIC;
        struct timespec t = n % 2 ? far(clock) : deadline(clock, n / 2);
        int op = FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG | (realtime ? FUTEX_CLOCK_REALTIME : 0);
        /* The fifth is not used. */
        long arguments[6] = { (long)&word, op, 0, (long)&t, (long)probe_random(), ~0U };
        long result = make(known_futex, SYS_futex, 6, arguments, 1);

        if (result == 0)
            ended++;
        else if (result == -ETIMEDOUT)
            expect_expired(clock, &t);
        else if (result != -EINTR)
            complain("a futex's result", result);
    }
    is_over = 1;
    pthread_join(thread, NULL);
    if (ended != woken)
        complain("more wake-ups than waits that they ended", woken - ended);
}

static uint32_t lock;
static volatile long guarded;

/* Linux says EAGAIN where the first waiter gives up at this moment (kernel/futex/pi.c: wake_futex_pi);
   on the host that is once in a million unlocks too. */
static void unlock(void)
{
    while (syscall(SYS_futex, &lock, FUTEX_UNLOCK_PI))
        if (errno != EAGAIN)
            complain("an unlock", errno);
}

static void *contend(void *arg)
{
    const struct timespec moment = { 0, 50000 };
    uint32_t own = (uint32_t)syscall(SYS_gettid);

    while (!is_over) {
        if (syscall(SYS_futex, &lock, FUTEX_LOCK_PI, 0, NULL, NULL, 0))
            complain("the other's lock", errno);
        guarded = own;
        nanosleep(&moment, NULL);
        if (guarded != own)
            complain("the lock had two owners", guarded);
        unlock();
        nanosleep(&moment, NULL);
    }
    return arg;
}

/* Linux never ends this one with EINTR, and a lock taken twice says EDEADLK. */
static void locks(long count)
{
    uint32_t own = (uint32_t)syscall(SYS_gettid);
    long n;
    pthread_t thread;
    sigset_t all, old;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pthread_create(&thread, NULL, contend, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    for (n = 0; n < count; n++) {
        struct timespec t = n % 2 ? far(CLOCK_REALTIME) : deadline(CLOCK_REALTIME, n / 2);
        long arguments[4] = { (long)&lock, FUTEX_LOCK_PI, 0, (long)&t };
        long result = make(known_futex, SYS_futex, 4, arguments, 0);

        if (result == 0) {
            if ((__atomic_load_n(&lock, __ATOMIC_SEQ_CST) & 0x3fffffff) != own)
                complain("the lock is not ours", lock);
            guarded = own;
            unlock();
        } else if (result == -ETIMEDOUT)
            expect_expired(CLOCK_REALTIME, &t);
        else if (result != -EINTR)
            complain("a lock's result", result);
        if (result && (__atomic_load_n(&lock, __ATOMIC_SEQ_CST) & 0x3fffffff) == own)
            complain("the lock is ours after", result);
    }
    is_over = 1;
    pthread_join(thread, NULL);
}

static void *take(void *arg)
{
    const struct timespec moment = { 0, 100000 };
    int64_t message, expected = 0;

    for (;;) {
        if (mq_receive(queue, (char *)&message, sizeof message, NULL) != sizeof message)
            abort();
        if (message < 0)
            return arg;
        if (message != expected)
            complain("a message was lost or sent twice", (long)(message - expected));
        expected = message + 1;
        /* Now and then the queue is full. */
        if (message % 16 == 15)
            nanosleep(&moment, NULL);
    }
}

static void sends(long count)
{
    int64_t message, end = -1;
    long n = 0;
    pthread_t thread;
    sigset_t all, old;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pthread_create(&thread, NULL, take, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    for (message = 0; message < count; n++) {
        struct timespec t = n % 2 ? far(CLOCK_REALTIME) : deadline(CLOCK_REALTIME, n / 2);
        long arguments[5] = { queue, (long)&message, sizeof message, 0, (long)&t };
        long result = make(known_send, SYS_mq_timedsend, 5, arguments, 0);

        if (result == 0)
            message++;
        else if (result == -ETIMEDOUT)
            expect_expired(CLOCK_REALTIME, &t);
        else if (result != -EINTR)
            complain("a send's result", result);
    }
    while (mq_send(queue, (char *)&end, sizeof end, 0))
        ;
    pthread_join(thread, NULL);
}

static void *give(void *arg)
{
    const struct timespec moment = { 0, 100000 };
    int64_t message;

    for (message = 0; message < *(long *)arg; message++) {
        if (mq_send(queue, (char *)&message, sizeof message, 0))
            abort();
        /* Now and then the queue is empty. */
        if (message % 16 == 15)
            nanosleep(&moment, NULL);
    }
    return NULL;
}

static void receives(long count)
{
    int64_t message, expected = 0;
    long n;
    pthread_t thread;
    sigset_t all, old;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pthread_create(&thread, NULL, give, &count);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    for (n = 0; expected < count; n++) {
        struct timespec t = n % 2 ? far(CLOCK_REALTIME) : deadline(CLOCK_REALTIME, n / 2);
        long arguments[5] = { queue, (long)&message, sizeof message, 0, (long)&t };
        long result = make(known_receive, SYS_mq_timedreceive, 5, arguments, 0);

        if (result == sizeof message) {
            if (message != expected)
                complain("a message was lost or received twice", (long)(message - expected));
            expected = message + 1;
        } else if (result == -ETIMEDOUT)
            expect_expired(CLOCK_REALTIME, &t);
        else if (result != -EINTR)
            complain("a receive's result", result);
    }
    pthread_join(thread, NULL);
}

/* Each setting is told by its interval, and gives back the one before it. */
static void settings(long count, int is_fd)
{
    static const clockid_t clocks[] = { CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_TAI };
    void (*site)(void) = is_fd ? known_timerfd : known_timer;
    long nr = is_fd ? SYS_timerfd_settime : SYS_timer_settime;
    long n, set[4] = { 0, 0, 0, 0 }, timers[4];
    struct sigevent event;
    int i, id;

    memset(&event, 0, sizeof event);
    event.sigev_notify = SIGEV_NONE;
    for (i = 0; i < 4; i++) {
        timers[i] = -1;
        if (!is_fd)
            timers[i] = syscall(SYS_timer_create, clocks[i], &event, &id) ? -1 : id;
        else if (clocks[i] != CLOCK_TAI)
            timers[i] = timerfd_create(clocks[i], 0);
    }
    for (n = 1; n <= count; n++) {
        struct itimerspec new, old;
        long arguments[4], result;

        i = (int)(n % 4);
        if (timers[i] < 0)
            continue;
        memset(&old, 0x55, sizeof old);
        new.it_value = far(clocks[i]);
        new.it_interval.tv_sec = 1000000;
        new.it_interval.tv_nsec = n % 1000000000;
        arguments[0] = timers[i];
        arguments[1] = TIMER_ABSTIME;
        arguments[2] = (long)&new;
        arguments[3] = (long)&old;
        result = make(site, nr, 4, arguments, 0);
        if (result == -EINTR)
            continue;
        if (result)
            complain("a setting's result", result);
        else if (old.it_interval.tv_nsec != set[i])
            complain("a setting before this one", old.it_interval.tv_nsec - set[i]);
        else if (set[i] && (old.it_value.tv_sec < 900 || old.it_value.tv_sec > 1000))
            complain("seconds left", (long)old.it_value.tv_sec);
        else
            set[i] = n;
    }
}

int main(int argc, char **argv)
{
    const struct itimerval often = { { 0, 100 }, { 0, 100 } }, never = { { 0, 0 }, { 0, 0 } };
    const char *call = argc > 4 ? argv[1] : "";
    long number = argc > 4 ? atol(argv[2]) : 0;

    if (argc < 5)
        return 2;
    is_restarting = !strcmp(argv[3], "restart");
    is_known = !strcmp(argv[4], "known");
    prepare_waits();
    handle(SIGALRM, count, is_restarting ? SA_RESTART : 0);
    if (strcmp(argv[3], "quiet"))
        setitimer(ITIMER_REAL, &often, NULL);
    if (!strcmp(call, "sleep"))
        sleeps(number);
    else if (!strcmp(call, "futex"))
        futexes(number);
    else if (!strcmp(call, "lock_pi"))
        locks(number);
    else if (!strcmp(call, "send"))
        sends(number);
    else if (!strcmp(call, "receive"))
        receives(number);
    else if (!strcmp(call, "timer"))
        settings(number, 0);
    else if (!strcmp(call, "timerfd"))
        settings(number, 1);
    else
        return 2;
    setitimer(ITIMER_REAL, &never, NULL);
    printf("%s: %ld wrong\n", call, wrong);
    fprintf(stderr, "%s: %ld done, %ld expired, %ld interrupted, %ld signals\n", call, done, expired,
            interrupted, (long)handled);
    return 0;
}
