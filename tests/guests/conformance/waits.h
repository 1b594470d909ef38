/* Absolute times that a namespace's clocks are waited for (kernel/time/namespace.c:
 * do_timens_ktime_to_host), and timers. io_uring is not among them: Linux 6.18 forgets it.
 */
#include <poll.h>
#include <sys/timerfd.h>

/* linux/futex.h, which musl does not bring. */
enum {
    FUTEX_LOCK_PI = 6,
    FUTEX_WAIT_BITSET = 9,
    FUTEX_WAIT_REQUEUE_PI = 11,
    FUTEX_LOCK_PI2 = 13,
    FUTEX_CLOCK_REALTIME = 256,
};

/* Each waits until an absolute time, and gives 0 or an errno. */
static int result_of(long result)
{
    return result < 0 ? errno : 0;
}

static int by_clock_nanosleep(clockid_t id, struct timespec *time)
{
    return result_of(syscall(SYS_clock_nanosleep, id, TIMER_ABSTIME, time, NULL));
}

static int by_wait_bitset(clockid_t id, struct timespec *time)
{
    static int word;

    return result_of(syscall(SYS_futex, &word, FUTEX_WAIT_BITSET | (id ? 0 : FUTEX_CLOCK_REALTIME), 0, time, NULL, -1));
}

static int by_wait_requeue_pi(clockid_t id, struct timespec *time)
{
    static int words[2];

    (void)id;
    return result_of(syscall(SYS_futex, &words[0], FUTEX_WAIT_REQUEUE_PI, 0, time, &words[1], 0));
}

static int owned;

static void own_for_ever(void)
{
    __atomic_store_n(&owned, (int)syscall(SYS_gettid), __ATOMIC_SEQ_CST);
    pause();
}

static int by_lock(int operation, struct timespec *time)
{
    pthread_t owner;

    if (!owned)
        must("thread", pthread_create(&owner, NULL, thread_of, (void *)own_for_ever) == 0);
    while (!__atomic_load_n(&owned, __ATOMIC_SEQ_CST))
        sched_yield();
    return result_of(syscall(SYS_futex, &owned, operation, 0, time, NULL, 0));
}

static int by_lock_pi2(clockid_t id, struct timespec *time)
{
    (void)id;
    return by_lock(FUTEX_LOCK_PI2, time);
}

static int by_lock_pi(clockid_t id, struct timespec *time)
{
    (void)id;
    return by_lock(FUTEX_LOCK_PI, time);
}

static int by_futex_waitv(clockid_t id, struct timespec *time)
{
    static int word;
    struct {
        unsigned long long value, address;
        unsigned flags, reserved;
    } waiter = { 0, (unsigned long)&word, 2, 0 };

    return result_of(syscall(449, &waiter, 1, 0, time, id));
}

static int by_futex_wait(clockid_t id, struct timespec *time)
{
    static int word;

    return result_of(syscall(455, &word, 0L, 0xffffffffL, 2, time, id));
}

static int by_timerfd(clockid_t id, struct timespec *time)
{
    struct itimerspec setting = { { 0, 0 }, *time };
    unsigned long long count;
    int fd = timerfd_create(id, TFD_CLOEXEC);

    if (fd < 0 || timerfd_settime(fd, TFD_TIMER_ABSTIME, &setting, NULL))
        return errno;
    return read(fd, &count, sizeof count) == sizeof count && count == 1 ? 0 : EIO;
}

static int by_timer(clockid_t id, struct timespec *time)
{
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
    struct itimerspec setting = { { 0, 0 }, *time };
    timer_t timer;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    if (timer_create(id, &event, &timer) || timer_settime(timer, TIMER_ABSTIME, &setting, NULL))
        return errno;
    return sigwaitinfo(&set, NULL) == SIGUSR1 ? 0 : errno;
}

static int by_condition(clockid_t id, struct timespec *time)
{
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_condattr_t attributes;
    pthread_cond_t condition;
    int error;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, id);
    pthread_cond_init(&condition, &attributes);
    pthread_mutex_lock(&mutex);
    do
        error = pthread_cond_timedwait(&condition, &mutex, time);
    while (error == 0);
    return error;
}

static int by_poll(clockid_t id, struct timespec *time)
{
    struct timespec left = at(nanos(*time) - reading(id, VDSO));

    if (left.tv_sec < 0 || left.tv_nsec < 0)
        left = (struct timespec){ 0, 0 };
    return result_of(ppoll(NULL, 0, &left, NULL));
}

static const struct wait {
    const char *name;
    int (*wait)(clockid_t, struct timespec *);
    clockid_t clock;
} waits[] = {
    { "clock_nanosleep_monotonic", by_clock_nanosleep, CLOCK_MONOTONIC },
    { "clock_nanosleep_boottime", by_clock_nanosleep, CLOCK_BOOTTIME },
    { "clock_nanosleep_realtime", by_clock_nanosleep, CLOCK_REALTIME },
    { "clock_nanosleep_tai", by_clock_nanosleep, CLOCK_TAI },
    { "clock_nanosleep_raw", by_clock_nanosleep, CLOCK_MONOTONIC_RAW },
    { "clock_nanosleep_coarse", by_clock_nanosleep, CLOCK_MONOTONIC_COARSE },
    { "futex_wait_bitset", by_wait_bitset, CLOCK_MONOTONIC },
    { "futex_wait_bitset_realtime", by_wait_bitset, CLOCK_REALTIME },
    { "futex_wait_requeue_pi", by_wait_requeue_pi, CLOCK_MONOTONIC },
    { "futex_lock_pi2", by_lock_pi2, CLOCK_MONOTONIC },
    { "futex_lock_pi", by_lock_pi, CLOCK_REALTIME },
    { "futex_waitv", by_futex_waitv, CLOCK_MONOTONIC },
    { "futex_waitv_realtime", by_futex_waitv, CLOCK_REALTIME },
    { "futex_wait", by_futex_wait, CLOCK_MONOTONIC },
    { "timerfd_monotonic", by_timerfd, CLOCK_MONOTONIC },
    { "timerfd_boottime", by_timerfd, CLOCK_BOOTTIME },
    { "timerfd_realtime", by_timerfd, CLOCK_REALTIME },
    { "timer_monotonic", by_timer, CLOCK_MONOTONIC },
    { "timer_boottime", by_timer, CLOCK_BOOTTIME },
    { "timer_realtime", by_timer, CLOCK_REALTIME },
    { "timer_tai", by_timer, CLOCK_TAI },
    { "condition_monotonic", by_condition, CLOCK_MONOTONIC },
    { "condition_realtime", by_condition, CLOCK_REALTIME },
    { "relative_poll", by_poll, CLOCK_MONOTONIC },
};

static const struct wait *this_wait(void)
{
    for (size_t n = 0; n < COUNT(waits); n++)
        if (!strcmp(waits[n].name, row->text))
            return &waits[n];
    abort();
}

/* One wait until so long from now; one that does not end is ended by the alarm. */
static void wait_until(const char *what, long long from_now)
{
    const struct wait *wait = this_wait();
    long long deadline = from_now ? reading(wait->clock, VDSO) + from_now : 1000000000, late;
    struct timespec time = at(deadline);
    int error;

    alarm(10);
    error = wait->wait(wait->clock, &time);
    late = reading(wait->clock, VDSO) - deadline;
    say("%s %s", what, error ? errno_name(error) : "ok");
    if (from_now && error != EINVAL && error != EOPNOTSUPP && error != ENOSYS)
        say("%s", late < 0 ? "early" : late > 9000000000LL ? "late" : "in-time");
}

static void wait_soon_and_never(void)
{
    wait_until("soon", 50000000);
    wait_until("past", 0);
}

static void wait_here_and_there(void)
{
    make_with(LATER);
    say("ahead");
    in_child(wait_soon_and_never);
    make_with("monotonic -1 0\nboottime -1 0\n");
    say("behind");
    in_child(wait_soon_and_never);
}

__attribute__((constructor)) static void add_waits(void)
{
    static char names[COUNT(waits)][48];

    for (size_t n = 0; n < COUNT(waits); n++) {
        snprintf(names[n], sizeof names[n], "wait_by_%s", waits[n].name);
        add(names[n], wait_here_and_there, waits[n].name, 0);
    }
}

static void handle(int signal)
{
    (void)signal;
}

/* A sleep that a handler ends. */
static void sleep_interrupted(clockid_t id, int flags, struct timespec time)
{
    struct timespec left = { 77, 0 };
    struct sigaction action = { .sa_handler = handle };
    int error;

    sigaction(SIGALRM, &action, NULL);
    /* Again and again: the first may come before the sleep on a busy machine. */
    ualarm(100000, 100000);
    error = clock_nanosleep(id, flags, &time, &left);
    ualarm(0, 0);
    say("%s", error ? errno_name(error) : "ok");
    say("left %s", left.tv_sec == 77 ? "untouched" : left.tv_sec >= 9 && left.tv_sec < 20 ? "some" : "else");
}

static void say_interrupted(void)
{
    sleep_interrupted(CLOCK_MONOTONIC, TIMER_ABSTIME, at(reading(CLOCK_MONOTONIC, VDSO) + 20000000000LL));
    sleep_interrupted(CLOCK_BOOTTIME, TIMER_ABSTIME, at(reading(CLOCK_BOOTTIME, VDSO) + 20000000000LL));
    sleep_interrupted(CLOCK_MONOTONIC, 0, (struct timespec){ 20, 0 });
    sleep_interrupted(CLOCK_BOOTTIME, 0, (struct timespec){ 20, 0 });
}

ROW(a_sleep_that_is_interrupted)
{
    make_with(LATER);
    in_child(say_interrupted);
}

static void say_far(void)
{
    sleep_interrupted(CLOCK_MONOTONIC, TIMER_ABSTIME, (struct timespec){ LONG_MAX, 0 });
    sleep_interrupted(CLOCK_MONOTONIC, TIMER_ABSTIME, (struct timespec){ 9223372036, 854775807 });
}

ROW(a_sleep_to_the_end_of_time)
{
    make_with(LATER);
    in_child(say_far);
}

ROW(a_sleep_to_the_end_of_time_when_behind)
{
    make_with("monotonic -1 0\nboottime -1 0\n");
    in_child(say_far);
}

static void say_wrong(void)
{
    struct timespec times[] = { { -1, 0 }, { 1, -1 }, { 1, 1000000000 }, { 0, 0 }, { 0, 1 } };

    for (size_t n = 0; n < COUNT(times); n++) {
        int error = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &times[n], NULL);

        say("%s", error ? errno_name(error) : "ok");
    }
    could("bad", syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, 16L, NULL));
}

ROW(sleeps_until_wrong_times)
{
    make_with(LATER);
    in_child(say_wrong);
}

static const char *hour_or(struct itimerspec left)
{
    return left.it_value.tv_sec >= 3500 && left.it_value.tv_sec <= 3600 ? "in-an-hour" : "else";
}

/* What is left, as a descriptor's file says. */
static const char *hour_in_fdinfo(int fd)
{
    char path[64], *text;
    long long seconds;

    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    text = contents(path);
    text = text ? strstr(text, "it_value: (") : NULL;
    if (!text || sscanf(text, "it_value: (%lld", &seconds) != 1)
        return "unknown";
    return hour_or((struct itimerspec){ .it_value.tv_sec = seconds });
}

static void say_timers(void)
{
    for (int absolute = 0; absolute < 2; absolute++)
        for (size_t n = 0; n < 2; n++) {
            struct sigevent event = { .sigev_notify = SIGEV_NONE };
            struct itimerspec set = { { 0, 0 }, { 3600, 0 } }, left = { 0 }, old = { 0 };
            int fd = timerfd_create(clocks[n].id, TFD_CLOEXEC);
            timer_t timer;

            if (absolute)
                set.it_value = at(reading(clocks[n].id, VDSO) + 3600000000000LL);
            could("timerfd", timerfd_settime(fd, absolute, &set, NULL));
            timerfd_gettime(fd, &left);
            say("%s fdinfo %s", hour_or(left), hour_in_fdinfo(fd));
            timerfd_settime(fd, absolute, &set, &old);
            say("old %s", hour_or(old));
            must("timer", timer_create(clocks[n].id, &event, &timer) == 0);
            could("timer", timer_settime(timer, absolute, &set, NULL));
            timer_gettime(timer, &left);
            say("%s", hour_or(left));
            timer_settime(timer, absolute, &set, &old);
            say("old %s", hour_or(old));
        }
}

ROW(timers_tell_what_is_left)
{
    make_with(LATER);
    in_child(say_timers);
}

ROW(timers_tell_what_is_left_when_behind)
{
    make_with("monotonic -1 0\nboottime -1 0\n");
    in_child(say_timers);
}

static void say_inherited(void)
{
    struct itimerspec left = { 0 };

    timerfd_gettime(shared->number, &left);
    say("child %s", hour_or(left));
}

ROW(a_timerfd_is_inherited)
{
    struct itimerspec set = { { 0, 0 }, at(reading(CLOCK_MONOTONIC, VDSO) + 3600000000000LL) };

    make_with(LATER);
    shared->number = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    could("timerfd", timerfd_settime(shared->number, TFD_TIMER_ABSTIME, &set, NULL));
    in_child(say_inherited);
}

static void wait_in_child(void)
{
    struct timespec time = at(reading(CLOCK_MONOTONIC, VDSO) + 50000000);
    int error;

    alarm(10);
    error = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
    say("%s %s", error ? errno_name(error) : "ok", reading(CLOCK_MONOTONIC, VDSO) < nanos(time) ? "early" : "in-time");
}

ROW(sleeps_before_and_after_setns)
{
    int home = opened(OWN);
    pid_t other = stranger();

    wait_in_child();
    could("setns", setns(opened(of(other, "ns/time")), CLONE_NEWTIME));
    wait_in_child();
    could("setns", setns(home, CLONE_NEWTIME));
    wait_in_child();
    end_of(other);
}

ROW(sleeps_in_a_child_of_vfork_and_after_its_exec)
{
    pid_t pid;

    make_with(LATER);
    pid = vfork();
    if (pid == 0) {
        wait_in_child();
        become("wait");
    }
    must("vfork", pid > 0);
    wait_for(pid);
    wait_in_child();
}

ROW(a_sleep_in_a_thread_that_stays)
{
    make_with(LATER);
    in_thread(wait_in_child);
    in_child(wait_in_child);
}
