/* Reads CLOCK_REALTIME through libc (so the vDSO) and by a raw system call.
 *
 *   now                   prints both, one reading a line
 *   now check LO HI       exits 0 if both lie in [LO, HI] seconds, 3 if not
 *   now hop N LO HI       execs itself N times without reading a clock, then checks
 *   now quit              exits at once, with no reading
 *   now uid               prints the effective user's number, then as `now`
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int check(const char *lo, const char *hi)
{
    struct timespec a, b;
    long long low = atoll(lo), high = atoll(hi);

    if (clock_gettime(CLOCK_REALTIME, &a) || syscall(SYS_clock_gettime, CLOCK_REALTIME, &b))
        return 4;
    if (a.tv_sec < low || a.tv_sec > high || b.tv_sec < low || b.tv_sec > high)
        return 3;
    return 0;
}

int main(int argc, char **argv)
{
    struct timespec ts;

    if (argc == 4 && !strcmp(argv[1], "check"))
        return check(argv[2], argv[3]);
    if (argc == 2 && !strcmp(argv[1], "quit"))
        return 0;
    if (argc == 5 && !strcmp(argv[1], "hop")) {
        char left[16];
        int hops = atoi(argv[2]);
        char *next[] = { argv[0], "hop", left, argv[3], argv[4], NULL };

        if (hops <= 0)
            return check(argv[3], argv[4]);
        snprintf(left, sizeof left, "%d", hops - 1);
        execv(argv[0], next);
        return 126;
    }
    if (argc == 2 && !strcmp(argv[1], "uid"))
        printf("%d\n", (int)geteuid());
    if (clock_gettime(CLOCK_REALTIME, &ts))
        return 1;
    printf("%lld.%09ld\n", (long long)ts.tv_sec, ts.tv_nsec);
    if (sizeof(long) == 8) {
        if (syscall(SYS_clock_gettime, CLOCK_REALTIME, &ts))
            return 1;
        printf("%lld.%09ld\n", (long long)ts.tv_sec, ts.tv_nsec);
    }
    return 0;
}
