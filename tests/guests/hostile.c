/* Does to its supervisor, from inside of a container, what a guest can.
 *
 *   hostile SECONDS MODE...     each mode in a process of its own, for so long
 *   hostile reach SOCKET PID... tries to reach these processes, which are not its own, and the socket; prints
 *                               `reached PID WHAT` if it does, and at last `tried N`
 *
 * Modes: `flood` of calls that are looked at, `forge` of cookies, `quarrel` of processes that trace and kill
 * each other amid their waits, `unmap` of memory that calls speak of, `bomb` of processes.
 */
#include "timed.h"
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#define COOKIE 0x656c73657768656eul
#define WAIT_HIGH 0x656c7365ul
#define THREADS 6
#define TRIBE 6

static volatile char *page;

static unsigned long chance(void)
{
    static __thread unsigned long state;

    if (!state)
        state = (unsigned long)&state ^ (unsigned long)getpid() << 20 ^ 0x9e3779b97f4a7c15ul;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void *flood(void *unused)
{
    struct timespec t;
    char text[64];

    for (;;) {
        call(SYS_clock_gettime, CLOCK_REALTIME, (long)&t, 0, 0, 0, 0);
        call(SYS_time, 0, 0, 0, 0, 0, 0);
        call(SYS_clock_gettime, CLOCK_REALTIME, (long)chance(), 0, 0, 0, 0);
        call(SYS_brk, 0, 0, 0, 0, 0, 0);
        call(SYS_adjtimex, (long)text, 0, 0, 0, 0, 0);
        int fd = open("/proc/uptime", O_RDONLY);
        if (fd >= 0) {
            (void)!read(fd, text, sizeof text);
            close(fd);
        }
        t = at(now(CLOCK_REALTIME) + 1000);
        call(SYS_clock_nanosleep, CLOCK_REALTIME, TIMER_ABSTIME, (long)&t, 0, 0, 0);
    }
    return unused;
}

/* Cookies that are right but for a few bits, with calls and without; and questions to the supervisor. */
static void *forge(void *unused)
{
    static const long calls[] = { SYS_clock_gettime, SYS_clock_nanosleep, SYS_time, SYS_timerfd_settime,
                                  SYS_openat, SYS_timer_settime, SYS_mq_timedreceive };
    struct timespec soon, out;

    for (;;) {
        long number = calls[chance() % (sizeof calls / sizeof *calls)];
        unsigned long kinds[] = { COOKIE, COOKIE ^ 1ul << chance() % 64,
                                  (WAIT_HIGH + number) << 32 | (unsigned)chance(),
                                  (WAIT_HIGH + chance() % 4096) << 32, chance() };
        unsigned long cookie = kinds[chance() % 5];

        soon = at(now(CLOCK_REALTIME) + 1000);
        switch (number) {
        case SYS_clock_gettime:
            call(number, CLOCK_REALTIME, (long)&out, 0, 0, 0, (long)cookie);
            break;
        case SYS_clock_nanosleep:
            call(number, CLOCK_REALTIME, TIMER_ABSTIME, (long)&soon, 0, 0,
                 /* With the right one it would be a sleep by the host's clock, for years at worst. */
                 (long)(cookie >> 32 == WAIT_HIGH + SYS_clock_nanosleep ? 0 : cookie));
            break;
        case SYS_openat:
            call(number, AT_FDCWD, (long)"/proc/uptime", 0, 0, (long)(chance() % 4), (long)cookie);
            break;
        default:
            call(number, -1, 1, (long)&soon, 0, 0, (long)cookie);
        }
        call(SYS_brk, 0, (long)COOKIE, (long)(chance() % 16), (long)chance(), (long)&soon, (long)chance());
        call(SYS_brk, 0, (long)cookie, (long)chance(), 0, 0, 0);
        /* What it was given by mistake of its own. */
        for (int fd = 3; fd < 10; fd++)
            close(fd);
    }
    return unused;
}

/* A wait whose site leads here and there: by libc, and by an instruction of this file. */
static void wait_a_moment(void)
{
    struct timespec soon = at(now(CLOCK_REALTIME) + 2000);

    if (chance() % 2)
        clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &soon, NULL);
    else
        call(SYS_clock_nanosleep, CLOCK_REALTIME, TIMER_ABSTIME, (long)&soon, 0, 0, 0);
}

static void waiting(void)
{
    for (;;)
        wait_a_moment();
}

static void quarrel(void)
{
    pid_t tribe[TRIBE] = { 0 };

    for (;;) {
        int i = (int)(chance() % TRIBE), status;

        if (tribe[i] <= 0) {
            tribe[i] = fork();
            if (tribe[i] == 0)
                waiting();
            continue;
        }
        switch (chance() % 4) {
        case 0:
            kill(tribe[i], SIGKILL);
            break;
        case 1:
            kill(tribe[i], SIGSTOP);
            kill(tribe[i], SIGCONT);
            break;
        default:
            if (ptrace(PTRACE_SEIZE, tribe[i], 0, 0) == 0) {
                ptrace(PTRACE_INTERRUPT, tribe[i], 0, 0);
                usleep((useconds_t)(chance() % 2000));
                if (chance() % 2)
                    ptrace(PTRACE_DETACH, tribe[i], 0, 0);
                else
                    kill(tribe[i], SIGKILL);
            }
        }
        while (waitpid(-1, &status, WNOHANG | __WALL) > 0)
            ;
        for (i = 0; i < TRIBE; i++)
            if (tribe[i] > 0 && kill(tribe[i], 0))
                tribe[i] = 0;
    }
}

static void *uses(void *unused)
{
    for (;;) {
        call(SYS_clock_nanosleep, CLOCK_REALTIME, TIMER_ABSTIME, (long)page, 0, 0, 0);
        call(SYS_clock_gettime, CLOCK_REALTIME, (long)page, 0, 0, 0, 0);
        open((char *)page, O_RDONLY);
        call(SYS_timerfd_settime, 3, 1, (long)page, 0, 0, 0);
        close(3);
    }
    return unused;
}

/* Memory that comes and goes beneath calls, and the code of a wait too. */
static void unmap(void)
{
    pthread_t thread;

    page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&thread, NULL, uses, NULL);
    for (;;) {
        munmap((void *)page, 4096);
        mmap((void *)page, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        if (chance() % 2)
            mprotect((void *)page, 4096, PROT_READ);
        else
            strcpy((char *)page, "/proc/uptime");
    }
}

static void bomb(void)
{
    for (;;) {
        pid_t child = fork();

        if (child == 0) {
            wait_a_moment();
            if (chance() % 2)
                fork();
            wait_a_moment();
            _exit(0);
        }
        if (child < 0)
            while (waitpid(-1, NULL, WNOHANG) > 0)
                ;
    }
}

static void in_threads(void *(*work)(void *))
{
    pthread_t thread;

    for (int i = 1; i < THREADS; i++)
        pthread_create(&thread, NULL, work, NULL);
    work(NULL);
}

static void be(const char *mode)
{
    if (!strcmp(mode, "flood"))
        in_threads(flood);
    if (!strcmp(mode, "forge"))
        in_threads(forge);
    if (!strcmp(mode, "quarrel"))
        quarrel();
    if (!strcmp(mode, "unmap"))
        unmap();
    if (!strcmp(mode, "bomb"))
        bomb();
    _exit(2);
}

static int is_connected(const char *path)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), result;

    if (strlen(path) >= sizeof to.sun_path)
        return 0;
    strcpy(to.sun_path, path);
    result = connect(fd, (struct sockaddr *)&to, sizeof to);
    close(fd);
    return result == 0;
}

/* A process's memory, clocks and root; nothing is changed if it can be had. */
static void reach_process(int pid, const char *socket_path)
{
    static const char *const writable[] = { "mem", "timens_offsets" };
    char path[512];
    int fd;

    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "/proc/%d/%s", pid, writable[i]);
        fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd >= 0 && !(i && write(fd, "monotonic 0 0", 13) < 0))
            printf("reached %d %s\n", pid, writable[i]);
        close(fd);
    }
    snprintf(path, sizeof path, "/proc/%d/ns/time", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && setns(fd, 0) == 0)
        printf("reached %d time\n", pid);
    close(fd);
    for (int i = 0; i < 32; i++) {
        snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, i);
        fd = open(path, O_PATH | O_CLOEXEC);
        if (fd >= 0)
            printf("reached %d fd/%d\n", pid, i);
        close(fd);
    }
    if (ptrace(PTRACE_SEIZE, pid, 0, 0) == 0)
        printf("reached %d ptrace\n", pid);
    snprintf(path, sizeof path, "/proc/%d/root%s", pid, socket_path);
    if (is_connected(path))
        printf("reached %d socket\n", pid);
}

static int reach(int count, char **pids, const char *socket_path)
{
    if (is_connected(socket_path))
        printf("reached 0 socket\n");
    for (int i = 0; i < count; i++) {
        if (kill(atoi(pids[i]), 0) && errno != EPERM)
            printf("unseen %s\n", pids[i]);
        reach_process(atoi(pids[i]), socket_path);
    }
    printf("tried %d\n", count);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 3 && !strcmp(argv[1], "reach"))
        return reach(argc - 3, argv + 3, argv[2]);
    if (argc < 3)
        return 2;
    for (int i = 2; i < argc; i++)
        if (fork() == 0)
            be(argv[i]);
    /* By the host's own clock, whatever becomes of ours. */
    for (long long end = now(CLOCK_MONOTONIC) + atoll(argv[1]) * SECOND; now(CLOCK_MONOTONIC) < end;)
        usleep(10000);
    /* All others end with this one: it is the first of a pid namespace. */
    return 0;
}
