/* Asks for the uptime by sysinfo(2).
 *
 *   uptime [int80]        natively, or by the i386 table
 *
 * Prints the uptime and then what is the same in every time namespace: whether the uptime is
 * BOOTTIME's seconds rounded up, figures that do not change, and the errors of bad pointers.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

struct narrow {
    int uptime;
    unsigned loads[3], totalram, freeram, sharedram, bufferram, totalswap, freeswap;
    unsigned short procs, pad;
    unsigned totalhigh, freehigh, mem_unit;
    char rest[8];
};

static int is_int80;

static int ask(void *at)
{
    long result;

    if (!is_int80)
        return syscall(SYS_sysinfo, at) ? errno : 0;
    __asm__ volatile("int $0x80" : "=a"(result) : "0"(116), "b"(at)
                     : "r8", "r9", "r10", "r11", "memory");
    return -(int)result;
}

static long boottime(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return now.tv_sec + (now.tv_nsec > 0);
}

int main(int argc, char **argv)
{
    char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    struct sysinfo *wide = (struct sysinfo *)page;
    struct narrow *narrow = (struct narrow *)page;
    long before, uptime, after;
    int error;

    is_int80 = argc > 1 && !strcmp(argv[1], "int80");
    memset(page, 0xff, 4096);
    before = boottime();
    error = ask(page);
    after = boottime();
    uptime = is_int80 ? narrow->uptime : wide->uptime;
    printf("%ld\n", uptime);
    printf("error %d\nagrees %d\n", error, before <= uptime && uptime <= after);
    if (is_int80) {
        printf("size %d\n", page[sizeof(*narrow) - 1] == 0 && page[sizeof(*narrow)] == -1);
        printf("memory %u %u %u\n", narrow->totalram, narrow->totalhigh, narrow->totalswap);
        printf("unit %u\n", narrow->mem_unit);
        printf("counts %d\n", narrow->procs > 0 && narrow->freeram > 0);
    } else {
        printf("size %d\n", page[sizeof(*wide) - 1] == 0 && page[sizeof(*wide)] == -1);
        printf("memory %lu %lu %lu\n", wide->totalram, wide->totalhigh, wide->totalswap);
        printf("unit %u\n", wide->mem_unit);
        printf("counts %d\n", wide->procs > 0 && wide->freeram > 0);
    }
    mprotect(page, 4096, PROT_READ);
    munmap(page + 4096, 4096);
    printf("null %d\nread-only %d\n", ask(NULL), ask(page));
    mprotect(page, 4096, PROT_READ | PROT_WRITE);
    printf("cut off %d\n", ask(page + 4096 - 32));
    return 0;
}
