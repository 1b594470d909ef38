/* Ways to execute a program: EXECS WAY PROGRAM SECONDS [NUMBER]; PROGRAM is first.c's, or a script.
 *
 * Ends as PROGRAM does, unless said otherwise below.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;
static char *program, *seconds;
static volatile sig_atomic_t alarms;

static void execute(void)
{
    char *argv[] = {program, seconds, 0};

    execve(program, argv, environ);
}

/* By its descriptor, as fexecve(3) does, which is closed meanwhile. */
static void execute_descriptor(void)
{
    char *argv[] = {program, seconds, 0};

    syscall(SYS_execveat, open(program, O_RDONLY | O_CLOEXEC), "", argv, environ, AT_EMPTY_PATH);
}

/* By its name in a directory, after names that are not there. */
static void execute_in_directory(void)
{
    char *argv[] = {program, seconds, 0}, *slash = strrchr(program, '/');
    int directory;

    *slash = 0;
    directory = open(program, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (syscall(SYS_execveat, directory, "nonexistent", argv, environ, 0) != -1 || errno != ENOENT ||
        syscall(SYS_execveat, -1, slash + 1, argv, environ, 0) != -1 || errno != EBADF)
        _exit(98);
    syscall(SYS_execveat, directory, slash + 1, argv, environ, 0);
}

static void *execute_in_thread(void *unused)
{
    (void)unused;
    execute();
    _exit(99);
}

static _Noreturn void *wait_in_thread(void *unused)
{
    (void)unused;
    for (;;)
        pause();
}

/* From a thread that does not lead its process, beside three others. */
static void from_a_thread(void)
{
    pthread_t thread;

    for (int i = 0; i < 3; i++)
        pthread_create(&thread, 0, wait_in_thread, 0);
    pthread_create(&thread, 0, execute_in_thread, 0);
    pause();
}

/* From four threads at once: one of them wins. */
static void from_all_threads(void)
{
    pthread_t thread;

    for (int i = 0; i < 3; i++)
        pthread_create(&thread, 0, execute_in_thread, 0);
    execute();
    _exit(99);
}

static int fail(const char *path)
{
    char *argv[] = {(char *)path, 0};

    execve(path, argv, environ);
    return errno;
}

/* After calls that fail. */
static void after_failures(void)
{
    if (fail("/nonexistent/1") != ENOENT || fail("/nonexistent/2") != ENOENT ||
        fail("/") != EACCES || fail("/dev/null") != EACCES || fail("/proc/self/mem") != EACCES)
        _exit(98);
    execute();
    _exit(99);
}

static pid_t start(void)
{
    pid_t pid = vfork();

    if (pid == 0) {
        execute();
        _exit(99);
    }
    return pid;
}

static void from_vfork(void)
{
    int status;

    waitpid(start(), &status, 0);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 97);
}

/* NUMBER programs in each way in turn, of which some are killed at some time of their start;
 * exits 0 if all others ended well. */
static int storm(int number)
{
    unsigned random = (unsigned)getpid();

    for (int i = 0; i < number; i++) {
        int is_killed = i % 4 == 3, status;
        pid_t pid = fork();

        if (pid == 0) {
            switch (i % 5) {
            case 0: from_vfork(); break;
            case 1: after_failures(); break;
            case 2: from_a_thread(); break;
            case 3: from_all_threads(); break;
            }
            execute();
            _exit(99);
        }
        if (is_killed) {
            usleep(rand_r(&random) % 1500);
            kill(pid, SIGKILL);
        }
        waitpid(pid, &status, 0);
        if (status != 0 && !(is_killed && WIFSIGNALED(status))) {
            fprintf(stderr, "program %d: status %#x\n", i, status);
            return 1;
        }
    }
    return 0;
}

static int storms(int number)
{
    int ended_well = 1, status;

    for (int i = 0; i < 8; i++)
        if (fork() == 0)
            _exit(storm(number));
    while (wait(&status) > 0)
        ended_well &= status == 0;
    return !ended_well;
}

static void on_alarm(int signal)
{
    (void)signal;
    alarms++;
}

/* NUMBER calls that fail, under an interval timer; prints calls, EINTRs, alarms. With "restart" the
 * handler asks for calls to be restarted. Then PROGRAM. */
static void under_alarms(int number, int flags)
{
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = flags};
    struct itimerval timer = {{0, 200}, {0, 200}}, off = {{0, 0}, {0, 0}};
    int interrupted = 0;

    sigaction(SIGALRM, &action, 0);
    setitimer(ITIMER_REAL, &timer, 0);
    for (int i = 0; i < number; i++) {
        int error = fail("/nonexistent/program");

        interrupted += error == EINTR;
        if (error != EINTR && error != ENOENT)
            _exit(98);
    }
    setitimer(ITIMER_REAL, &off, 0);
    dprintf(1, "%d %d %d\n", number, interrupted, (int)alarms);
    execute();
    _exit(99);
}

/* A real-time signal queued before each call, blocked until after it: each must arrive, with its
 * value, whether the call has failed or (checked by PROGRAM's not being ended) not. */
static void under_signals(int number)
{
    sigset_t set;
    siginfo_t info;
    struct timespec now = {0, 0};

    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &set, 0);
    for (int i = 0; i < number; i++) {
        union sigval value = {.sival_int = i};

        sigqueue(getpid(), SIGRTMIN, value);
        if (fail("/nonexistent/program") != ENOENT)
            _exit(98);
        if (sigtimedwait(&set, &info, &now) != SIGRTMIN || info.si_value.sival_int != i)
            _exit(96);
    }
    execute();
    _exit(99);
}

/* Stopped by SIGSTOP at some time of a start, seen to be stopped, continued. */
static int stopped(int number)
{
    unsigned random = 1;

    for (int i = 0; i < number; i++) {
        int status;
        pid_t pid = fork();

        if (pid == 0) {
            after_failures();
            _exit(99);
        }
        usleep(rand_r(&random) % 800);
        kill(pid, SIGSTOP);
        if (waitpid(pid, &status, WUNTRACED) != pid)
            return 95;
        if (WIFSTOPPED(status)) {
            usleep(200);
            if (waitpid(pid, &status, WNOHANG) != 0)
                return 94;
            kill(pid, SIGCONT);
            waitpid(pid, &status, 0);
        }
        if (status != 0)
            return 93;
    }
    return 0;
}

static long elapsed(const struct timespec *from)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (now.tv_sec - from->tv_sec) * 1000000000 + now.tv_nsec - from->tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    return (*(long *)a > *(long *)b) - (*(long *)a < *(long *)b);
}

/* Prints the median time of NUMBER executions in ns (of failing ones if PROGRAM does not exist). */
static void measure(int number)
{
    long *times = calloc((size_t)number, sizeof *times);

    for (int i = 0; i < number; i++) {
        struct timespec before;

        clock_gettime(CLOCK_MONOTONIC, &before);
        if (access(program, X_OK) != 0)
            fail(program);
        else
            waitpid(start(), 0, 0);
        times[i] = elapsed(&before);
    }
    qsort(times, (size_t)number, sizeof *times, by_size);
    printf("%ld\n", times[number / 2]);
}

int main(int argc, char **argv)
{
    const char *way = argv[1];
    int number = argc > 4 ? atoi(argv[4]) : 0;

    program = argv[2];
    seconds = argv[3];
    if (!strcmp(way, "plain"))
        execute();
    else if (!strcmp(way, "descriptor"))
        execute_descriptor();
    else if (!strcmp(way, "directory"))
        execute_in_directory();
    else if (!strcmp(way, "vfork"))
        from_vfork();
    else if (!strcmp(way, "thread"))
        from_a_thread();
    else if (!strcmp(way, "threads"))
        from_all_threads();
    else if (!strcmp(way, "failures"))
        after_failures();
    else if (!strcmp(way, "storm"))
        return storms(number);
    else if (!strcmp(way, "alarms"))
        under_alarms(number, 0);
    else if (!strcmp(way, "restart"))
        under_alarms(number, SA_RESTART);
    else if (!strcmp(way, "signals"))
        under_signals(number);
    else if (!strcmp(way, "stops"))
        return stopped(number);
    else if (!strcmp(way, "measure"))
        return measure(number), 0;
    return 99;
}
