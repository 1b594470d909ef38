/* Waits in processes that are made in every way, while others wait at the same call site.
 *
 *   waits_processes wait                        waits, in this process
 *   waits_processes vfork|spawn|shared|clone3   in children of these kinds; spawn: by fexecve(3) too
 *   waits_processes fork ROUNDS                 in children forked while threads use a site first
 *   waits_processes exec ROUNDS                 after an exec from a thread while others wait
 *   waits_processes path ROUNDS                 after execs that fail, while others wait
 *
 * Exits with 0 if every wait ended rightly; says on standard error which did not.
 */
#include "timed.h"
#include "sites.h"
#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { CLOCKS = 4, OTHERS = 7, STACK = 1 << 16 };

extern char **environ;
static const clockid_t clocks[CLOCKS] = { CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_TAI };
static char *self;

/* One wait; 0 if it was right. What has been handled is for the caller to know. */
static int wait_once(const struct site *site, clockid_t clock, long long from_now)
{
    long long deadline = now(clock) + from_now;
    struct timespec time = at(deadline);
    int own = 0, right;
    long result;

    if (site->nr == 230) {
        result = site->call(clock, TIMER_ABSTIME, (long)&time, 0, 0, 0);
        right = result == 0;
    } else {
        clock = clock == CLOCK_TAI ? CLOCK_REALTIME : clock == CLOCK_BOOTTIME ? CLOCK_MONOTONIC : clock;
        time = at(deadline = now(clock) + from_now);
        result = site->call((long)&own, FUTEX_WAIT_BITSET | (clock ? 0 : FUTEX_REALTIME), 0, (long)&time, 0, -1);
        right = result == -ETIMEDOUT;
    }
    if (right && !strcmp(when(clock, deadline), "in time"))
        return 0;
    dprintf(2, "nr %ld clock %d: %ld, %s\n", site->nr, clock, result, when(clock, deadline));
    return 1;
}

/* Waits on every clock, some before and some after a site's first use. */
static int waits(const struct site *site)
{
    int wrong = 0;

    for (int i = 0; i < 2 * CLOCKS; i++)
        wrong += wait_once(site, clocks[i % CLOCKS], i < CLOCKS ? -SECOND : MILLISECOND);
    return wrong != 0;
}

static int result_of(pid_t pid)
{
    int status = -1;

    if (pid > 0)
        while (waitpid(pid, &status, __WALL) < 0 && errno == EINTR)
            ;
    if (status)
        dprintf(2, "child %d: status %#x\n", pid, status);
    return status != 0;
}

static int in_vfork(const struct site *site)
{
    pid_t pid = vfork();

    if (pid == 0)
        _exit(waits(site));
    return result_of(pid) + waits(site);
}

static int in_spawned(void)
{
    char *argv[] = { self, "wait", NULL };
    pid_t pid = -1;

    return posix_spawn(&pid, self, NULL, NULL, argv, environ) ? 1 : result_of(pid);
}

/* After an exec of a descriptor: no path is looked up. */
static int in_executed(void)
{
    char *argv[] = { self, "wait", NULL };
    int fd = open(self, O_RDONLY | O_CLOEXEC);
    pid_t pid = vfork();

    if (pid == 0) {
        fexecve(fd, argv, environ);
        _exit(126);
    }
    close(fd);
    return result_of(pid);
}

static int child_of_clone(void *site)
{
    int wrong = 0;

    for (int i = 0; i < 5; i++)
        wrong += waits(site);
    return wrong != 0;
}

/* Processes that share memory and are no threads, all at one site. */
static int in_shared(const struct site *site)
{
    char *stacks = mmap(NULL, OTHERS * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pid_t pids[OTHERS];
    int wrong = 0;

    for (int i = 0; i < OTHERS; i++)
        pids[i] = clone(child_of_clone, stacks + (i + 1) * STACK, CLONE_VM | SIGCHLD, (void *)site);
    wrong += waits(site);
    for (int i = 0; i < OTHERS; i++)
        wrong += result_of(pids[i]);
    munmap(stacks, OTHERS * STACK);
    return wrong;
}

static int in_clone3(const struct site *site)
{
    static const unsigned long long flags[] = { 0, CLONE_CLEAR_SIGHAND, CLONE_FILES | CLONE_FS,
                                                CLONE_VM | CLONE_VFORK, CLONE_PIDFD };
    int wrong = 0, pidfd = -1;

    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        struct clone_args args = { .flags = flags[i], .exit_signal = SIGCHLD };
        long pid;

        args.pidfd = (unsigned long)&pidfd;
        pid = call(SYS_clone3, (long)&args, sizeof args, 0, 0, 0, 0);
        if (pid == 0)
            call(SYS_exit_group, waits(site), 0, 0, 0, 0, 0);
        wrong += result_of((pid_t)pid);
    }
    close(pidfd);
    return wrong + waits(site);
}

static const struct site *hot;
static volatile int ending;

static void *be_hot(void *place)
{
    long wrong = 0;

    while (!ending)
        for (int i = 0; i < 4; i++)
            wrong += wait_once(place ? place : hot, clocks[i], i ? -SECOND : -1);
    return (void *)wrong;
}

/* Forks while threads use a site for the first time; each child goes on with it. */
static int forks(void)
{
    pthread_t threads[3];
    pid_t pids[20];
    void *wrong;
    int all = 0;

    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, be_hot, NULL);
    for (int i = 0; i < 20; i++)
        if ((pids[i] = fork()) == 0)
            _exit(waits(hot));
    for (int i = 0; i < 20; i++)
        all += result_of(pids[i]);
    ending = 1;
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], &wrong);
        all += (int)(long)wrong;
    }
    return all != 0;
}

static void *exec_self(void *unused)
{
    char *argv[] = { self, "wait", NULL };

    usleep((useconds_t)(long)unused);
    execve(self, argv, environ);
    _exit(126);
    return NULL;
}

/* Execs from a thread that is not the first, while all others wait at sites of their own. */
static int execs_in_thread(int number)
{
    pthread_t thread;

    for (long i = 0; i < 3; i++)
        pthread_create(&thread, NULL, be_hot, (void *)&sites[(number * 3 + i) % SITES]);
    pthread_create(&thread, NULL, exec_self, (void *)(long)(number % 10 * 50));
    be_hot((void *)&sites[number % SITES]);
    return 1;
}

static int execs_after_failures(int number)
{
    pthread_t thread;
    char *argv[] = { "waits_processes", "wait", NULL };

    for (long i = 0; i < 2; i++)
        pthread_create(&thread, NULL, be_hot, (void *)&sites[(number * 2 + i) % SITES]);
    for (int i = 0; i < 5; i++)
        execve("/no/such/program", argv, environ);
    execve("/", argv, environ);
    /* execvp(3) tries each directory in turn. */
    *strrchr(self, '/') = 0;
    setenv("PATH", self, 1);
    setenv("PATH", strcat(strcpy(malloc(4096), "/no/a:/no/b:/no/c:/:"), getenv("PATH")), 1);
    execvp(strchr(self, 0) + 1, argv);
    return 1;
}

/* Each round in a fresh process, which takes another site. */
static int rounds(int number, int (*round_of)(int))
{
    int wrong = 0;

    for (int i = 0; i < number; i++) {
        pid_t pid = fork();

        if (pid == 0)
            _exit(round_of(i));
        wrong += result_of(pid);
    }
    return wrong;
}

static int round_of_forks(int number) { return hot = &sites[number % SITES], forks(); }
static int round_of_vfork(int number) { return in_vfork(&sites[number % SITES]); }
static int round_of_shared(int number) { return in_shared(&sites[number % SITES]); }
static int round_of_clone3(int number) { return in_clone3(&sites[number % SITES]); }
static int round_of_spawn(int number) { return number % 2 ? in_spawned() : in_executed(); }

int main(int argc, char **argv)
{
    static const struct { const char *mode; int (*round_of)(int); int number; } modes[] = {
        { "vfork", round_of_vfork, 26 }, { "shared", round_of_shared, 26 },
        { "clone3", round_of_clone3, 26 }, { "spawn", round_of_spawn, 26 },
        { "fork", round_of_forks, 0 }, { "exec", execs_in_thread, 0 }, { "path", execs_after_failures, 0 },
    };

    self = argv[0];
    if (argc < 2)
        return 2;
    if (!strcmp(argv[1], "wait"))
        return waits(SLEEP_SITE) + waits(FUTEX_SITE);
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        if (!strcmp(argv[1], modes[i].mode))
            return rounds(argc > 2 ? atoi(argv[2]) : modes[i].number, modes[i].round_of) != 0;
    return 2;
}
