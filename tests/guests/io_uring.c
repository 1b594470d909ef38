/* Uses io_uring without a library.
 *
 *   io_uring nop          one operation that does nothing
 *   io_uring absolute     a timeout at a time of day ten seconds from now
 *   io_uring int80        only the first call, by the i386 table
 *
 * Prints `setup ERRNO`, and if that is 0 `result RESULT` of the operation and whether it took long.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static struct io_uring_params params;

static void *map(int fd, size_t size, off_t at)
{
    return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, at);
}

static int setup_by_int80(void)
{
    long result;

    __asm__ volatile("int $0x80" : "=a"(result) : "0"(425), "b"(4), "c"(0)
                     : "r8", "r9", "r10", "r11", "memory");
    return -(int)result;
}

int main(int argc, char **argv)
{
    struct __kernel_timespec deadline = { 0, 0 };
    struct timespec now, start, end;
    struct io_uring_sqe *sqe;
    struct io_uring_cqe *cqe;
    char *sq, *cq;
    int fd;

    if (argc > 1 && !strcmp(argv[1], "int80")) {
        printf("setup %d\n", setup_by_int80());
        return 0;
    }
    fd = (int)syscall(SYS_io_uring_setup, 4, &params);
    printf("setup %d\n", fd < 0 ? errno : 0);
    if (fd < 0)
        return 0;
    sq = map(fd, params.sq_off.array + params.sq_entries * sizeof(unsigned), IORING_OFF_SQ_RING);
    cq = map(fd, params.cq_off.cqes + params.cq_entries * sizeof(*cqe), IORING_OFF_CQ_RING);
    sqe = map(fd, params.sq_entries * sizeof(*sqe), IORING_OFF_SQES);
    if (sq == MAP_FAILED || cq == MAP_FAILED || (void *)sqe == MAP_FAILED)
        return 1;
    sqe->opcode = IORING_OP_NOP;
    if (argc > 1 && !strcmp(argv[1], "absolute")) {
        clock_gettime(CLOCK_REALTIME, &now);
        deadline.tv_sec = now.tv_sec + 10;
        sqe->opcode = IORING_OP_TIMEOUT;
        sqe->addr = (unsigned long)&deadline;
        sqe->len = 1;
        sqe->timeout_flags = IORING_TIMEOUT_ABS | IORING_TIMEOUT_REALTIME;
    }
    *(unsigned *)(sq + params.sq_off.array) = 0;
    *(volatile unsigned *)(sq + params.sq_off.tail) = 1;
    clock_gettime(CLOCK_MONOTONIC, &start);
    if (syscall(SYS_io_uring_enter, fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) != 1)
        return 1;
    clock_gettime(CLOCK_MONOTONIC, &end);
    cqe = (struct io_uring_cqe *)(cq + params.cq_off.cqes);
    printf("result %d\n%s\n", cqe->res, end.tv_sec - start.tv_sec > 8 ? "long" : "short");
    return 0;
}
