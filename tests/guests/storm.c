/* Starts programs as fast as it can, from several parents at once.
 *
 *   storm exec PARENTS COUNT PROGRAM LO HI      vfork and exec; PROGRAM checks its clock
 *   storm hop PARENTS COUNT PROGRAM LO HI       PROGRAM execs itself twice, then checks
 *   storm quit PARENTS COUNT PROGRAM LO HI      PROGRAM exits at once
 *   storm kill PARENTS COUNT PROGRAM LO HI      SIGKILL within the first 1.5 ms
 *   storm thread PARENTS COUNT PROGRAM LO HI    exec from a second thread, the first one reading
 *
 * Prints `right N wrong N killed N other N` and fails unless wrong and other are none.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { RIGHT, WRONG, KILLED, OTHER, RESULTS };

extern char **environ;
static char **child_argv;

static void *exec_in_thread(void *unused)
{
    execve(child_argv[0], child_argv, environ);
    _exit(126);
    return unused;
}

static pid_t start_threaded(void)
{
    pid_t pid = fork();
    struct timespec ts;
    pthread_t thread;

    if (pid == 0) {
        pthread_create(&thread, NULL, exec_in_thread, NULL);
        for (;;)
            clock_gettime(CLOCK_REALTIME, &ts);
    }
    return pid;
}

static pid_t start(void)
{
    pid_t pid = vfork();

    if (pid == 0) {
        execve(child_argv[0], child_argv, environ);
        _exit(126);
    }
    return pid;
}

static int result(int status)
{
    if (WIFSIGNALED(status))
        return WTERMSIG(status) == SIGKILL ? KILLED : OTHER;
    return WEXITSTATUS(status) == 0 ? RIGHT : WEXITSTATUS(status) == 3 ? WRONG : OTHER;
}

static void parent(const char *mode, long count, long *totals, unsigned seed)
{
    int threaded = !strcmp(mode, "thread"), killing = !strcmp(mode, "kill"), status;

    while (count-- > 0) {
        pid_t pid = threaded ? start_threaded() : start();

        if (pid > 0 && killing) {
            usleep((unsigned)rand_r(&seed) % 1500);
            kill(pid, SIGKILL);
        }
        if (pid < 0 || waitpid(pid, &status, 0) != pid) {
            __atomic_add_fetch(totals + OTHER, 1, __ATOMIC_RELAXED);
            continue;
        }
        if (result(status) == OTHER || (result(status) == KILLED && !killing))
            fprintf(stderr, "storm: child's status %#x\n", status);
        __atomic_add_fetch(totals + result(status), 1, __ATOMIC_RELAXED);
    }
}

int main(int argc, char **argv)
{
    char *check[] = { NULL, "check", NULL, NULL, NULL };
    char *hop[] = { NULL, "hop", "2", NULL, NULL, NULL };
    char *quit[] = { NULL, "quit", NULL };
    long *totals = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int parents, i;

    if (argc != 7 || totals == MAP_FAILED)
        return 2;
    check[0] = hop[0] = quit[0] = argv[4];
    check[2] = hop[3] = argv[5];
    check[3] = hop[4] = argv[6];
    child_argv = !strcmp(argv[1], "hop") ? hop : !strcmp(argv[1], "quit") ? quit : check;

    parents = atoi(argv[2]);
    for (i = 0; i < parents; i++) {
        if (fork() == 0) {
            parent(argv[1], atol(argv[3]), totals, (unsigned)i + 1);
            _exit(0);
        }
    }
    while (wait(NULL) > 0)
        ;
    printf("right %ld wrong %ld killed %ld other %ld\n", totals[RIGHT], totals[WRONG],
           totals[KILLED], totals[OTHER]);
    return totals[WRONG] || totals[OTHER] || (totals[KILLED] && strcmp(argv[1], "kill"));
}
