/* A file system that is served by hand (fuse(4)): a directory, and a file in it. Each server says what it leaves without
 * an answer. */
#ifndef FUSE_H
#define FUSE_H
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static int device;

/* The request that was read last, and what follows it. */
static char request[1 << 17];
static const struct fuse_in_header *const in = (const void *)request;

static int read_request(void)
{
    return read(device, request, sizeof request) > 0;
}

static void reply(int error, const void *body, size_t len)
{
    char buffer[512];
    struct fuse_out_header *header = (void *)buffer;

    memset(buffer, 0, sizeof buffer);
    header->len = (__u32)(sizeof *header + len);
    header->error = error;
    header->unique = in->unique;
    if (len > 0)
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

/* Answers a request by which the file system is mounted, the file found, looked at and opened; others it does not. */
static int answer(void)
{
    union {
        struct fuse_init_out init;
        struct fuse_entry_out entry;
        struct fuse_attr_out attr;
        struct fuse_open_out open;
    } out;

    memset(&out, 0, sizeof out);
    switch (in->opcode) {
    case FUSE_INIT:
        out.init.major = FUSE_KERNEL_VERSION;
        out.init.minor = 31;
        out.init.max_write = 4096;
        reply(0, &out, sizeof out.init);
        return 1;
    case FUSE_LOOKUP:
        out.entry.nodeid = 2;
        out.entry.attr_valid = out.entry.entry_valid = 1000;
        out.entry.attr = attr(2);
        reply(0, &out, sizeof out.entry);
        return 1;
    case FUSE_GETATTR:
        out.attr.attr_valid = 1000;
        out.attr.attr = attr(in->nodeid);
        reply(0, &out, sizeof out.attr);
        return 1;
    case FUSE_OPEN:
        reply(0, &out, sizeof out.open);
        return 1;
    default:
        return 0;
    }
}

/* Mounts it, in a mount namespace of its own; 0 where that may not be. */
static int mount_fuse(const char *name, const char *directory, const char *more_options)
{
    char options[100];

    device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (device < 0 || unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL))
        return 0;
    snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=%d,group_id=%d%s", device, (int)getuid(),
             (int)getgid(), more_options);
    return mount(name, directory, "fuse", MS_NOSUID | MS_NODEV, options) == 0;
}

#endif
