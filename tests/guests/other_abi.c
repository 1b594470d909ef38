/* Reads the clock from 64-bit code through another system call table.
 *
 *   other_abi int80       the i386 table: int $0x80
 *   other_abi x32         the x32 table: bit 30 of the number
 *
 * Prints `NAME SEC` for each call that the kernel knows, `NAME error N` for the others.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static long int80(long nr, long a, long b)
{
    long result;

    __asm__ volatile("int $0x80" : "=a"(result) : "0"(nr), "b"(a), "c"(b)
                     : "r8", "r9", "r10", "r11", "memory");
    return (int)result;
}

static void show(const char *name, long result, long long sec)
{
    if (result < 0)
        printf("%s error %ld\n", name, -result);
    else
        printf("%s %lld\n", name, sec);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    int *narrow = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    long long *wide = (long long *)narrow;
    long at = (long)narrow, result;

    if (narrow == MAP_FAILED || argc < 2)
        return 2;
    if (!strcmp(argv[1], "x32")) {
        result = syscall(0x40000000L | SYS_clock_gettime, 0, at);
        show("clock_gettime", result < 0 ? -1 : 0, wide[0]);
        return 0;
    }
    result = int80(13, 0, 0);
    show("time", 0, (unsigned)result);
    result = int80(78, at, 0);
    show("gettimeofday", result, narrow[0]);
    result = int80(265, 0, at);
    show("clock_gettime", result, narrow[0]);
    result = int80(403, 0, at);
    show("clock_gettime64", result, wide[0]);
    return 0;
}
