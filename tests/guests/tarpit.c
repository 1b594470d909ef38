/* Hands the kernel a pointer to memory that never comes: a file of a file system whose server,
 * a child, takes the request for the page and never answers it.
 *
 *   tarpit DIRECTORY
 *
 * Mounts there, in a mount namespace of its own, asks for the time by a raw system call with the
 * result in the file's page, and prints `result N errno E`. Exits 77 where it may not mount.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int device;

static void reply(__u64 unique, const void *body, size_t len)
{
    char buffer[512];
    struct fuse_out_header *header = (void *)buffer;

    memset(buffer, 0, sizeof buffer);
    header->len = (__u32)(sizeof *header + len);
    header->unique = unique;
    memcpy(header + 1, body, len);
    if (write(device, buffer, header->len) < 0)
        perror("reply");
}

static struct fuse_attr attr(__u64 node)
{
    struct fuse_attr a;

    memset(&a, 0, sizeof a);
    a.ino = node;
    a.size = 4096;
    a.mode = node == 1 ? S_IFDIR | 0755 : S_IFREG | 0644;
    a.nlink = 1;
    a.blksize = 4096;
    return a;
}

static void serve(void)
{
    static char request[1 << 17];

    while (read(device, request, sizeof request) > 0) {
        const struct fuse_in_header *in = (const void *)request;

        if (in->opcode == FUSE_INIT) {
            struct fuse_init_out out;

            memset(&out, 0, sizeof out);
            out.major = FUSE_KERNEL_VERSION;
            out.minor = 31;
            out.max_write = 4096;
            reply(in->unique, &out, sizeof out);
        } else if (in->opcode == FUSE_LOOKUP) {
            struct fuse_entry_out out;

            memset(&out, 0, sizeof out);
            out.nodeid = 2;
            out.attr_valid = out.entry_valid = 1000;
            out.attr = attr(2);
            reply(in->unique, &out, sizeof out);
        } else if (in->opcode == FUSE_GETATTR) {
            struct fuse_attr_out out;

            memset(&out, 0, sizeof out);
            out.attr_valid = 1000;
            out.attr = attr(in->nodeid);
            reply(in->unique, &out, sizeof out);
        } else if (in->opcode == FUSE_OPEN) {
            struct fuse_open_out out;

            memset(&out, 0, sizeof out);
            reply(in->unique, &out, sizeof out);
        }
        /* FUSE_READ and all else: never answered. */
    }
}

int main(int argc, char **argv)
{
    char options[100], path[4096];
    pid_t server;
    void *page;
    long result;
    int file;

    device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (argc != 2 || device < 0 || unshare(CLONE_NEWNS) ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL))
        return 77;
    snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=%d,group_id=%d", device,
             (int)getuid(), (int)getgid());
    if (mount("tarpit", argv[1], "fuse", MS_NOSUID | MS_NODEV, options))
        return 77;
    server = fork();
    if (server == 0) {
        serve();
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
