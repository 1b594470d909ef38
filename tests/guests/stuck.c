/* Opens files by paths that never end: in a file system whose server, a child, takes the request for the last
 * component and never answers it. The component's name is that of a view.
 *
 *   stuck DIRECTORY COUNT UID COMMAND...
 *
 * Mounts there, in a mount namespace of its own, has COUNT children open `stat` in it as the user UID, runs the
 * command when the server has been asked, and exits as it does. With a COUNT of 0 even the directory's status is
 * never told. Exits 77 where it may not mount.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/fuse.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int device, asked[2];

static void reply(__u64 unique, const void *body, size_t length)
{
    char buffer[512];
    struct fuse_out_header *header = (void *)buffer;

    memset(buffer, 0, sizeof buffer);
    header->len = (__u32)(sizeof *header + length);
    header->unique = unique;
    memcpy(header + 1, body, length);
    if (write(device, buffer, header->len) < 0)
        perror("reply");
}

static void serve(int answers_getattr)
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
        } else if (in->opcode == FUSE_GETATTR && answers_getattr) {
            struct fuse_attr_out out;

            memset(&out, 0, sizeof out);
            out.attr_valid = 1000;
            out.attr.ino = 1;
            out.attr.mode = S_IFDIR | 0755;
            out.attr.nlink = 2;
            reply(in->unique, &out, sizeof out);
        } else if (in->opcode == FUSE_LOOKUP) {
            if (write(asked[1], "!", 1) < 0)
                _exit(8);
        }
        /* And never answered, as all else. */
    }
}

static pid_t open_as(const char *path, int uid)
{
    pid_t pid = fork();

    if (pid)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (setresuid(uid, uid, uid))
        _exit(7);
    open(path, O_RDONLY);
    _exit(1);
}

int main(int argc, char **argv)
{
    char options[100], path[4096], byte;
    pid_t server, command;
    int status = 0, count = argc > 2 ? atoi(argv[2]) : 0;

    device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (argc < 5 || device < 0 || pipe(asked) || unshare(CLONE_NEWNS) ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL))
        return 77;
    snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=%d,group_id=%d,allow_other", device,
             (int)getuid(), (int)getgid());
    if (mount("stuck", argv[1], "fuse", MS_NOSUID | MS_NODEV, options))
        return 77;
    server = fork();
    if (server == 0) {
        serve(count > 0);
        _exit(0);
    }
    close(device);
    snprintf(path, sizeof path, "%s/stat", argv[1]);
    for (int n = 0; n < count; n++)
        open_as(path, atoi(argv[3]));
    if (count > 0 && read(asked[0], &byte, 1) != 1)
        return 8;
    /* The others come now. */
    usleep(500000);
    command = fork();
    if (command == 0) {
        execvp(argv[4], argv + 4);
        _exit(127);
    }
    waitpid(command, &status, 0);
    kill(server, SIGKILL);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 9;
}
