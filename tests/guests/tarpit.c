/* Hands the kernel a pointer to memory that never comes: a file of a file system whose server,
 * a child, takes the request for the page and never answers it.
 *
 *   tarpit DIRECTORY
 *
 * Mounts there, in a mount namespace of its own, asks for the time by a raw system call with the
 * result in the file's page, and prints `result N errno E`. Exits 77 where it may not mount.
 */
#define _GNU_SOURCE
#include "fuse.h"
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

int main(int argc, char **argv)
{
    char path[4096];
    pid_t server;
    void *page;
    long result;
    int file;

    if (argc != 2 || !mount_fuse("tarpit", argv[1], ""))
        return 77;
    server = fork();
    if (server == 0) {
        /* FUSE_READ and all else: never answered. */
        while (read_request())
            answer();
        _exit(0);
    }
    close(device);
    snprintf(path, sizeof path, "%s/page", argv[1]);
    file = open(path, O_RDONLY);
    page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
    if (file < 0 || page == MAP_FAILED)
        return 7;
    result = syscall(SYS_clock_gettime, CLOCK_REALTIME, page);
    /* No allocation here: the memory is locked until the server is gone. */
    snprintf(path, sizeof path, "result %ld errno %d\n", result, result ? errno : 0);
    if (write(1, path, strlen(path)) < 0)
        return 8;
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    return 0;
}
