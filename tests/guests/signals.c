/* Reads the clock while SIGSYS is owned, blocked or ignored by the program.
 *
 *   signals handler|blocked|ignored
 *
 * Prints two readings (libc, raw), then `handled N`: how often the handler ran.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t handled;

static void on_sigsys(int number)
{
    (void)number;
    handled++;
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "handler";
    struct timespec a, b;
    sigset_t all;

    if (!strcmp(mode, "handler"))
        signal(SIGSYS, on_sigsys);
    if (!strcmp(mode, "ignored"))
        signal(SIGSYS, SIG_IGN);
    if (!strcmp(mode, "blocked")) {
        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, NULL);
    }
    if (clock_gettime(CLOCK_REALTIME, &a) || syscall(SYS_clock_gettime, CLOCK_REALTIME, &b))
        return 1;
    if (!strcmp(mode, "handler"))
        raise(SIGSYS);
    printf("%lld.%09ld\n%lld.%09ld\nhandled %d\n", (long long)a.tv_sec, a.tv_nsec,
           (long long)b.tv_sec, b.tv_nsec, (int)handled);
    return 0;
}
