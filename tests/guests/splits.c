/* Calls of unshare(2) that are the kernel's in part, each in a process of its own: whoever is told of a success has
 * got a time namespace for its children.
 *
 *   splits SECONDS
 *
 * Prints `right R wrong W failed F`: successes with one and without one, and failures.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { TIME = 0x80 };

static ino_t for_children(void)
{
    struct stat status;

    return stat("/proc/self/ns/time_for_children", &status) ? 0 : status.st_ino;
}

static int attempt(void)
{
    ino_t before = for_children();

    if (unshare(CLONE_NEWUTS | TIME))
        return 2;
    return for_children() == before;
}

int main(int argc, char **argv)
{
    long counts[3] = { 0 };
    time_t end = time(NULL) + (argc > 1 ? atoi(argv[1]) : 1);

    while (time(NULL) < end) {
        pid_t pid = fork();
        int status = 0;

        if (pid < 0)
            return 1;
        if (pid == 0)
            _exit(attempt());
        waitpid(pid, &status, 0);
        if (!WIFEXITED(status) || WEXITSTATUS(status) > 2)
            return 1;
        counts[WEXITSTATUS(status)]++;
    }
    printf("right %ld wrong %ld failed %ld\n", counts[0], counts[1], counts[2]);
    return 0;
}
