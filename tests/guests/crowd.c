/* Many programs alive at once.
 *
 *   crowd COUNT LO HI FILE
 *
 * Starts COUNT programs (itself, by vfork and exec), each of which checks its clock, says so, and
 * sleeps. Prints `alive N` when all have, waits until FILE exists, wakes them, and prints
 * `right N wrong N` when each has checked its clock again and ended.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static int check(const char *lo, const char *hi)
{
    struct timespec a, b;

    if (clock_gettime(CLOCK_REALTIME, &a) || syscall(SYS_clock_gettime, CLOCK_REALTIME, &b))
        return 4;
    return a.tv_sec < atoll(lo) || a.tv_sec > atoll(hi) || b.tv_sec < atoll(lo) ||
           b.tv_sec > atoll(hi);
}

/* member SAY WAIT LO HI */
static int member(char **argv)
{
    int wrong = check(argv[4], argv[5]);
    char byte = wrong ? '!' : '.';

    if (write(atoi(argv[2]), &byte, 1) != 1)
        return 5;
    close(atoi(argv[2]));
    while (read(atoi(argv[3]), &byte, 1) > 0)
        ;
    return wrong || check(argv[4], argv[5]) ? 3 : 0;
}

static pid_t start(char **words, int unused, int unused_too)
{
    pid_t pid = vfork();

    if (pid == 0) {
        close(unused);
        close(unused_too);
        execve("/proc/self/exe", words, environ);
        _exit(126);
    }
    return pid;
}

int main(int argc, char **argv)
{
    int say[2], wait_for[2], status;
    long count, i, alive = 0, right = 0, wrong = 0;
    char from[16], to[16], byte;
    char *words[] = { argv[0], "member", to, from, argv[2], argv[3], NULL };

    if (argc == 6 && !strcmp(argv[1], "member"))
        return member(argv);
    if (argc != 5 || pipe(say) || pipe(wait_for))
        return 2;
    count = atol(argv[1]);
    sprintf(to, "%d", say[1]);
    sprintf(from, "%d", wait_for[0]);
    for (i = 0; i < count; i++) {
        if (start(words, say[0], wait_for[1]) < 0) {
            perror("vfork");
            return 6;
        }
    }
    close(say[1]);
    while (alive < count && read(say[0], &byte, 1) == 1)
        alive += byte == '.';
    printf("alive %ld\n", alive);
    fflush(stdout);
    while (access(argv[4], F_OK))
        usleep(10000);
    close(wait_for[1]);
    close(wait_for[0]);
    while (wait(&status) > 0) {
        if (status == 0)
            right++;
        else
            wrong++;
    }
    printf("right %ld wrong %ld\n", right, wrong);
    return right != count;
}
