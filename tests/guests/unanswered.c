/* A file system whose server leaves some requests without an answer, for as long as a program runs.
 *
 *   unanswered DIRECTORY PROGRAM [ARG...]
 *
 * Mounts it at DIRECTORY, in a mount namespace of its own, and runs PROGRAM there. `DIRECTORY/file` can be opened,
 * by everybody; to close it lasts for ever, and so does to look up any other name. If PROGRAM is `-`, the next word is
 * the program, and its standard input is that file. Ends with the program, or takes it along when it is killed. Exits 77
 * where it may not mount.
 */
#define _GNU_SOURCE
#include "fuse.h"
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

/* Answers one request, or none. */
static void serve(void)
{
    if (!read_request())
        return;
    /* FUSE_FLUSH is what close(2) waits for. */
    if (in->opcode == FUSE_FLUSH || (in->opcode == FUSE_LOOKUP && strcmp(request + sizeof *in, "file")))
        return;
    /* FUSE_FORGET expects none. */
    if (!answer() && in->opcode != FUSE_FORGET)
        reply(-ENOSYS, NULL, 0);
}

int main(int argc, char **argv)
{
    char path[4096];
    int has_file = argc > 3 && !strcmp(argv[2], "-");
    char **program = argv + 2 + has_file;
    pid_t child;
    int status;

    if (argc < 3 || !mount_fuse("unanswered", argv[1], ",allow_other"))
        return 77;
    child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(device);
        snprintf(path, sizeof path, "%s/file", argv[1]);
        if (has_file && (close(0) || open(path, O_RDONLY)))
            _exit(7);
        execvp(program[0], program);
        _exit(127);
    }
    /* The server is who waits for the program: one that ends amid a request is let go when the device is closed. */
    while (waitpid(child, &status, WNOHANG) == 0) {
        struct pollfd fd = { device, POLLIN, 0 };

        if (poll(&fd, 1, 20) > 0)
            serve();
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
