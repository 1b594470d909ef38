/* For AddressSanitizer and its leak check: reads the clock, then leaks if asked to. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int main(int argc, char **argv)
{
    struct timespec ts;
    char *volatile lost = malloc(123);

    (void)argv;
    if (argc < 2)
        free(lost);
    lost = NULL;
    if (clock_gettime(CLOCK_REALTIME, &ts))
        return 1;
    printf("%lld.%09ld\n", (long long)ts.tv_sec, ts.tv_nsec);
    return 0;
}
