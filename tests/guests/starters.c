/* Starts a command in ways that a shell does not.
 *
 *   starters spawn|vfork|thread|blocked|failures|nofile|fdfull COMMAND [ARG...]
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static int result(pid_t pid)
{
    int status;

    if (waitpid(pid, &status, 0) != pid)
        return 125;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int spawn(char **argv)
{
    pid_t pid;
    int error = posix_spawn(&pid, argv[0], NULL, NULL, argv, environ);

    if (error) {
        fprintf(stderr, "posix_spawn: %s\n", strerror(error));
        return 125;
    }
    return result(pid);
}

static int vfork_exec(char **argv)
{
    pid_t pid = vfork();

    if (pid == 0) {
        execve(argv[0], argv, environ);
        _exit(126);
    }
    return pid < 0 ? 125 : result(pid);
}

static void *exec_in_thread(void *argv)
{
    execve(((char **)argv)[0], argv, environ);
    perror("execve");
    _exit(126);
}

static void *spin(void *unused)
{
    struct timespec ts;

    for (;;)
        clock_gettime(CLOCK_REALTIME, &ts);
    return unused;
}

/* The leader sleeps and a sibling reads clocks while another thread execs. */
static int thread_exec(char **argv)
{
    pthread_t sibling, thread;

    pthread_create(&sibling, NULL, spin, NULL);
    pthread_create(&thread, NULL, exec_in_thread, argv);
    pthread_join(thread, NULL);
    return 125;
}

static int blocked(char **argv)
{
    sigset_t all;

    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    execve(argv[0], argv, environ);
    return 126;
}

/* Five execs that fail, their errors on standard error, then one that does not. */
static int failures(char **argv)
{
    char *nothing[] = { "nothing", NULL }, *volatile nowhere = (char *)8;
    char name[] = "starters-XXXXXX";
    static const char header[] = "\177ELF\2\1\1 and no more";
    int fd = mkstemp(name);

    if (fd < 0 || write(fd, header, sizeof header) != sizeof header)
        return 125;
    fchmod(fd, 0600);
    execve("/nonexistent/program", nothing, environ);
    fprintf(stderr, "missing %d\n", errno);
    execve("/", nothing, environ);
    fprintf(stderr, "directory %d\n", errno);
    execve("", nothing, environ);
    fprintf(stderr, "empty %d\n", errno);
    execve(nowhere, nothing, environ);
    fprintf(stderr, "pointer %d\n", errno);
    fchmod(fd, 0700);
    close(fd);
    execve(name, nothing, environ);
    fprintf(stderr, "malformed %d\n", errno);
    unlink(name);
    execve(argv[0], argv, environ);
    return 126;
}

/* No descriptor can be opened, by the limit or because all are taken. */
static int no_descriptors(char **argv, int taken)
{
    struct rlimit limit = { taken ? 64 : 3, taken ? 64 : 3 };

    if (setrlimit(RLIMIT_NOFILE, &limit))
        return 125;
    if (taken)
        while (dup(2) >= 0)
            ;
    execve(argv[0], argv, environ);
    return 126;
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 125;
    if (!strcmp(argv[1], "spawn"))
        return spawn(argv + 2);
    if (!strcmp(argv[1], "vfork"))
        return vfork_exec(argv + 2);
    if (!strcmp(argv[1], "thread"))
        return thread_exec(argv + 2);
    if (!strcmp(argv[1], "blocked"))
        return blocked(argv + 2);
    if (!strcmp(argv[1], "failures"))
        return failures(argv + 2);
    if (!strcmp(argv[1], "nofile"))
        return no_descriptors(argv + 2, 0);
    if (!strcmp(argv[1], "fdfull"))
        return no_descriptors(argv + 2, 1);
    return 125;
}
