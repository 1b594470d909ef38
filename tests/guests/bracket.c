/* Reads every clock between two readings of the host's, which a cookie gets past the supervisor.
 *
 *   bracket SECONDS REALTIME TAI MONOTONIC BOOTTIME
 *
 * The offsets are in nanoseconds. Prints what was wrong, and exits 1; else how many rounds it made.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define COOKIE 0x656c73657768656eL

static const struct { clockid_t id; int offset; } clocks[] = {
	{ CLOCK_REALTIME, 0 }, { CLOCK_REALTIME_COARSE, 0 }, { CLOCK_TAI, 1 },
	{ CLOCK_MONOTONIC, 2 }, { CLOCK_MONOTONIC_COARSE, 2 },
	{ CLOCK_MONOTONIC_RAW, 2 }, { CLOCK_BOOTTIME, 3 },
};
#define CLOCKS (sizeof clocks / sizeof *clocks)

static long long nanos(const struct timespec *ts)
{
	if (ts->tv_nsec < 0 || ts->tv_nsec >= 1000000000)
		printf("%ld nanoseconds\n", ts->tv_nsec), exit(1);
	return ts->tv_sec * 1000000000LL + ts->tv_nsec;
}

static long long host(clockid_t clock)
{
	struct timespec ts;

	if (syscall(SYS_clock_gettime, clock, &ts, 0, 0, 0, COOKIE))
		exit(2);
	return nanos(&ts);
}

int main(int argc, char **argv)
{
	long long offsets[4], newest[CLOCKS] = { 0 };
	long rounds = 0;
	int status = 0;

	if (argc != 6)
		return 2;
	for (int i = 0; i < 4; i++)
		offsets[i] = atoll(argv[2 + i]);
	long long end = host(CLOCK_MONOTONIC) + atoll(argv[1]) * 1000000000LL;
	do {
		for (size_t i = 0; i < CLOCKS; i++) {
			long long offset = offsets[clocks[i].offset];
			struct timespec ts;

			long long before = host(clocks[i].id) + offset;
			if (clock_gettime(clocks[i].id, &ts))
				return 2;
			long long inside = nanos(&ts);
			long long after = host(clocks[i].id) + offset;
			if (inside < before || inside > after || inside < newest[i]) {
				printf("clock %d: %lld, between %lld and %lld, after %lld\n",
				       (int)clocks[i].id, inside, before, after, newest[i]);
				status = 1;
			}
			newest[i] = inside;
		}
		rounds++;
	} while (host(CLOCK_MONOTONIC) < end);
	printf("%ld rounds\n", rounds);
	return status;
}
