/* Timers that are made by one and set by another: descriptors inherited, sent and copied, and
 * timers that nobody inherits.
 *
 *   timer_handover                  prints a line for each case; those of one kernel are the same
 *   timer_handover arm FD CLOCK     sets a timerfd that this program was started with
 *   timer_handover stranger ID      sets a timer of the program that stood here before
 */
#include "timed.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

/* Seconds after which a timer does not come any more. */
#define LIMIT 30

static char *self;
static long long deadline;

static void never(const char *name, clockid_t clock)
{
    printf("%s %d: never\n", name, clock);
    exit(1);
}

/* Sets a timerfd to a time soon to come, which is remembered; the interval is in milliseconds. */
static int arm(int fd, clockid_t clock, int flags, int interval)
{
    struct itimerspec setting = { at(interval * MILLISECOND), at(deadline = now(clock) + 15 * MILLISECOND) };

    return timerfd_settime(fd, TFD_TIMER_ABSTIME | flags, &setting, NULL) ? -errno : 0;
}

static void finish(pid_t pid)
{
    int status = -1;

    if (pid > 0)
        waitpid(pid, &status, 0);
    if (status)
        printf("child's status %#x\n", status);
}

/* Waits for a timer that was set here, or by a child no earlier than `since`. */
static void expect_tick(const char *name, int fd, clockid_t clock, long long since)
{
    struct pollfd poll_for = { fd, POLLIN, 0 };
    uint64_t ticks = 0;
    ssize_t size;

    if (poll(&poll_for, 1, LIMIT * 1000) == 0)
        never(name, clock);
    size = read(fd, &ticks, sizeof ticks);
    printf("%s %d: %zd ticks %d %s\n", name, clock, size < 0 ? -errno : size, ticks > 0, when(clock, since));
}

static void send_descriptor(int socket, int fd)
{
    char byte = 0, control[CMSG_SPACE(sizeof fd)] = { 0 };
    struct iovec data = { &byte, 1 };
    struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = control,
                              .msg_controllen = sizeof control };
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);

    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
    if (sendmsg(socket, &message, 0) != 1)
        exit(3);
}

static int receive_descriptor(int socket)
{
    int fd = -1;
    char byte, control[CMSG_SPACE(sizeof fd)];
    struct iovec data = { &byte, 1 };
    struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = control,
                              .msg_controllen = sizeof control };

    if (recvmsg(socket, &message, 0) != 1)
        exit(3);
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
    return fd;
}

static void over_fork(clockid_t clock)
{
    int fd = timerfd_create(clock, 0);
    long long before = now(clock) + 15 * MILLISECOND;
    pid_t pid = fork();

    if (pid == 0)
        _exit(arm(fd, clock, 0, 0) != 0);
    expect_tick("set by a child", fd, clock, before);
    finish(pid);
    printf("set by the parent %d\n", arm(fd, clock, 0, 0));
    if ((pid = fork()) == 0) {
        expect_tick("read by a child", fd, clock, deadline);
        fflush(stdout);
        _exit(0);
    }
    finish(pid);
    close(fd);
}

static void over_exec(clockid_t clock)
{
    int fd = timerfd_create(clock, 0);
    long long before = now(clock) + 15 * MILLISECOND;
    char numbers[2][16];
    pid_t pid;

    snprintf(numbers[0], 16, "%d", fd);
    snprintf(numbers[1], 16, "%d", clock);
    if ((pid = vfork()) == 0) {
        execl(self, self, "arm", numbers[0], numbers[1], NULL);
        _exit(126);
    }
    expect_tick("set after an exec", fd, clock, before);
    finish(pid);
    close(fd);
}

static void over_socket(clockid_t clock)
{
    int sockets[2], fd;
    long long before = now(clock) + 15 * MILLISECOND;
    pid_t pid;

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets))
        exit(3);
    if ((pid = fork()) == 0) {
        fd = timerfd_create(clock, 0);
        send_descriptor(sockets[1], fd);
        close(fd);
        _exit(arm(receive_descriptor(sockets[1]), clock, 0, 0) != 0);
    }
    fd = receive_descriptor(sockets[0]);
    printf("received %d\n", arm(fd, clock, 0, 0));
    expect_tick("set by its receiver", fd, clock, deadline);
    before = now(clock) + 15 * MILLISECOND;
    send_descriptor(sockets[0], fd);
    expect_tick("sent back and set", fd, clock, before);
    finish(pid);
    close(sockets[0]);
    close(sockets[1]);
    close(fd);
}

/* The same number for another clock, by close and by dup2. */
static void number_again(void)
{
    static const clockid_t clocks[] = { CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME };
    int number = 100;

    for (int i = 0; i < 9; i++) {
        int fd = timerfd_create(clocks[i % 3], 0);

        dup2(fd, number);
        if (i % 2)
            close(fd);
        printf("number again %d\n", arm(number, clocks[i % 3], 0, 0));
        expect_tick("number again", i % 2 ? number : fd, clocks[i % 3], deadline);
        if (!(i % 2))
            close(fd);
    }
    close(number);
}

static void other_ways(clockid_t clock)
{
    struct itimerspec setting = { { 0, 0 }, { 0, 0 } }, old;
    int fd = timerfd_create(clock, TFD_NONBLOCK), copy = dup(fd), epoll = epoll_create1(0);
    struct epoll_event event = { .events = EPOLLIN };
    struct pollfd poll_for = { copy, POLLIN, 0 };
    uint64_t ticks = 0;

    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    printf("copy %d\n", arm(copy, clock, 0, 0));
    printf("polled %d", poll(&poll_for, 1, 30000));
    printf(" %s\n", when(clock, deadline));
    expect_tick("copy", fd, clock, deadline);
    printf("epoll %d", arm(fd, clock, 0, 0));
    printf(" %d", epoll_wait(epoll, &event, 1, 30000));
    printf(" %s\n", when(clock, deadline));
    expect_tick("epoll", copy, clock, deadline);
    printf("cancel on set %d\n", arm(fd, clock, TFD_TIMER_CANCEL_ON_SET, 0));
    poll(&poll_for, 1, 30000);
    expect_tick("cancel on set", fd, clock, deadline);
    printf("again and again %d\n", arm(fd, clock, 0, 2));
    usleep(40000);
    printf("again and again %zd", read(fd, &ticks, sizeof ticks));
    printf(" %d\n", ticks >= 10 && ticks < 20000);
    setting.it_value = at(now(clock) + 100 * SECOND);
    printf("far %d", timerfd_settime(fd, TFD_TIMER_ABSTIME, &setting, &old));
    printf(" after every %ld\n", old.it_interval.tv_nsec);
    timerfd_gettime(copy, &old);
    printf("far %d\n", old.it_value.tv_sec >= 60 && old.it_value.tv_sec < 100);
    setting.it_value = at(0);
    printf("off %d", timerfd_settime(fd, TFD_TIMER_ABSTIME, &setting, &old));
    printf(" after %d\n", old.it_value.tv_sec >= 60 && old.it_value.tv_sec < 100);
    timerfd_gettime(copy, &old);
    printf("off %ld %ld\n", old.it_value.tv_sec, old.it_value.tv_nsec);
    close(fd);
    close(copy);
    close(epoll);
    printf("closed %d, no timer %d\n", arm(fd, clock, 0, 0), arm(1, clock, 0, 0));
}

static int set_timer(timer_t timer, clockid_t clock)
{
    struct itimerspec setting = { { 0, 0 }, at(deadline = now(clock) + 15 * MILLISECOND) };

    return timer_settime(timer, TIMER_ABSTIME, &setting, NULL) ? -errno : 0;
}

static timer_t new_timer(clockid_t clock)
{
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
    timer_t timer = 0;

    if (timer_create(clock, &event, &timer))
        exit(3);
    return timer;
}

static void expect_signal(const char *name, clockid_t clock)
{
    struct timespec limit = { LIMIT, 0 };
    sigset_t wanted;
    int number;

    sigemptyset(&wanted);
    sigaddset(&wanted, SIGUSR1);
    number = sigtimedwait(&wanted, NULL, &limit);
    if (number < 0 && errno == EAGAIN)
        never(name, clock);
    printf("%s %d: signal %d %s\n", name, clock, number, when(clock, deadline));
}

static void *set_in_thread(void *argument)
{
    struct { timer_t timer; clockid_t clock; } *what = argument;

    printf("set in a thread %d\n", set_timer(what->timer, what->clock));
    return NULL;
}

static void timers(clockid_t clock, timer_t early)
{
    struct { timer_t timer; clockid_t clock; } what = { new_timer(clock), clock };
    pthread_t thread;
    pid_t pid;
    char number[16];

    printf("made before %d\n", set_timer(early, clock));
    expect_signal("made before", clock);
    pthread_create(&thread, NULL, set_in_thread, &what);
    pthread_join(thread, NULL);
    expect_signal("set in a thread", clock);
    printf("set by the parent %d\n", set_timer(what.timer, clock));
    if ((pid = fork()) == 0) {
        printf("set by the child %d\n", set_timer(what.timer, clock));
        fflush(stdout);
        snprintf(number, 16, "%d", (int)(long)what.timer);
        execl(self, self, "stranger", number, NULL);
        _exit(126);
    }
    finish(pid);
    expect_signal("not the child's", clock);
    timer_delete(what.timer);
    printf("deleted %d\n", set_timer(what.timer, clock));
}

/* A clock of the process's own, which nobody shifts. */
static void own_clock(void)
{
    timer_t timer = new_timer(CLOCK_PROCESS_CPUTIME_ID);
    struct timespec none = { 0, 0 };
    sigset_t wanted;

    printf("own clock %d\n", set_timer(timer, CLOCK_PROCESS_CPUTIME_ID));
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGUSR1);
    while (sigtimedwait(&wanted, NULL, &none) < 0 && now(CLOCK_PROCESS_CPUTIME_ID) < deadline + SECOND)
        ;
    printf("own clock %s\n", now(CLOCK_PROCESS_CPUTIME_ID) < deadline + SECOND ? "in time" : "late");
    timer_delete(timer);
}

int main(int argc, char **argv)
{
    static const clockid_t clocks[] = { CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_TAI };
    timer_t early[4];
    sigset_t blocked;

    self = argv[0];
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc == 4)
        return arm(atoi(argv[2]), atoi(argv[3]), 0, 0) != 0;
    if (argc == 3) {
        struct itimerspec setting = { { 0, 0 }, { 1, 0 } };
        long result = call(SYS_timer_settime, atoi(argv[2]), TIMER_ABSTIME, (long)&setting, 0, 0, 0);

        printf("stranger %ld\n", result);
        return 0;
    }
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    for (int i = 0; i < 4; i++)
        early[i] = new_timer(clocks[i]);
    for (int i = 0; i < 3; i++) {
        over_fork(clocks[i]);
        over_exec(clocks[i]);
        over_socket(clocks[i]);
        other_ways(clocks[i]);
    }
    number_again();
    for (int i = 0; i < 4; i++)
        timers(clocks[i], early[i]);
    own_clock();
    return 0;
}
