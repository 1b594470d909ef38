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
#include "fuse.h"
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static int asked[2];

static void serve(int answers_getattr)
{
    while (read_request())
        if (in->opcode == FUSE_LOOKUP) {
            if (write(asked[1], "!", 1) < 0)
                _exit(8);
        } else if (in->opcode == FUSE_INIT || (in->opcode == FUSE_GETATTR && answers_getattr)) {
            answer();
        }
    /* All else is never answered. */
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
    char path[4096], byte;
    pid_t server, command;
    int status = 0, count = argc > 2 ? atoi(argv[2]) : 0;

    if (argc < 5 || pipe(asked) || !mount_fuse("stuck", argv[1], ",allow_other"))
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
