/* What Linux's time namespaces do, one row for each thing: the semantics of clone(2), unshare(2),
 * setns(2), /proc/PID/timens_offsets and /proc/PID/ns/time, of clocks, waits and /proc in a
 * namespace.
 *
 *   conformance [ROW...]     all rows, or these
 *   conformance list         their names
 *
 * Prints `ROW: WHAT IT SAW` for each. A row that cannot be tried here prints `-` and the reason.
 * Without privileges each row makes a user namespace of its own first.
 */
#include "conformance/row.h"
#include "conformance/namespace.h"
#include "conformance/offsets.h"
#include "conformance/life.h"
#include "conformance/setns.h"
#include "conformance/files.h"
#include "conformance/limits.h"
#include "conformance/views.h"
#include "conformance/waits.h"

#include <sys/prctl.h>

enum { AT_ONCE = 6 };

/* A row that runs. */
struct job {
    const struct row *row;
    pid_t pid;
    int out;
    struct timespec start;
};

static void close_other_descriptors(void)
{
    for (int fd = 3; fd < SAID; fd++)
        close(fd);
}

static void start(struct job *job, const struct row *which)
{
    int pipes[2], null, memory = (int)syscall(SYS_memfd_create, "row", 0);

    if (pipe(pipes) || memory < 0 || ftruncate(memory, sizeof *shared))
        exit(3);
    job->row = which;
    job->out = pipes[0];
    clock_gettime(CLOCK_MONOTONIC, &job->start);
    job->pid = fork();
    if (job->pid < 0)
        exit(3);
    if (job->pid > 0) {
        close(pipes[1]);
        close(memory);
        return;
    }
    setpgid(0, 0);
    null = open("/dev/null", O_RDWR);
    dup2(null, 0);
    dup2(pipes[1], SAID);
    dup2(memory, SHARED);
    close_other_descriptors();
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, SHARED, 0);
    row = which;
    if (which->needs_root && (geteuid() || !has(CAP_SYS_ADMIN_))) {
        say("- needs root");
        _exit(0);
    }
    if (!has(CAP_SYS_ADMIN_))
        become_privileged();
    remember_the_start();
    which->run();
    _exit(0);
}

/* Whether the row has ended, by itself or because its time was over; then its line is in `line`. */
static int has_ended(struct job *job, char *line, size_t size)
{
    siginfo_t info = { 0 };
    struct timespec now;
    size_t length = 0;
    ssize_t more;
    int status;

    clock_gettime(CLOCK_MONOTONIC, &now);
    waitid(P_PID, (id_t)job->pid, &info, WEXITED | WNOHANG | WNOWAIT);
    if (!info.si_pid && now.tv_sec - job->start.tv_sec < SECONDS)
        return 0;
    /* What it has left behind would keep the pipe open. The group lives until it is reaped. */
    kill(-job->pid, SIGKILL);
    waitpid(job->pid, &status, 0);
    while ((more = read(job->out, line + length, size - length - 1)) > 0)
        length += (size_t)more;
    close(job->out);
    line[length] = 0;
    if (WIFSIGNALED(status))
        snprintf(line + length, size - length, " ended-by %d", WTERMSIG(status));
    return 1;
}

static int is_wanted(const char *name, int argc, char **argv)
{
    for (int n = 1; n < argc; n++)
        if (!strcmp(argv[n], name))
            return 1;
    return argc == 1;
}

static int run_all(int argc, char **argv)
{
    static char lines[COUNT(rows)][4096];
    static struct job jobs[AT_ONCE];
    size_t next = 0, running = 0, printed = 0;
    int all_printed = 0;

    prctl(PR_SET_CHILD_SUBREAPER, 1);
    while (next < row_count || running) {
        for (size_t n = 0; n < AT_ONCE; n++) {
            while (!jobs[n].row && next < row_count) {
                if (is_wanted(rows[next].name, argc, argv)) {
                    start(&jobs[n], &rows[next]);
                    running++;
                }
                next++;
            }
            if (jobs[n].row && has_ended(&jobs[n], lines[jobs[n].row - rows], sizeof lines[0])) {
                jobs[n].row = NULL;
                running--;
            }
        }
        nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
    }
    for (; printed < row_count; printed++)
        if (is_wanted(rows[printed].name, argc, argv))
            all_printed += printf("%s:%s\n", rows[printed].name, lines[printed]) > 0;
    while (waitpid(-1, NULL, 0) > 0)
        ;
    return all_printed ? 0 : 2;
}

/* After an exec, in a row. */
static int go_on(const char *action)
{
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, SHARED, 0);
    if (shared == MAP_FAILED)
        return 3;
    if (!strcmp(action, "look"))
        look();
    else if (!strcmp(action, "write"))
        write_more("after");
    else if (!strcmp(action, "views"))
        say_views();
    else if (!strcmp(action, "enter"))
        enter_by(shared->number);
    else if (!strcmp(action, "wait"))
        wait_in_child();
    else
        return 4;
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "then"))
        return go_on(argv[2]);
    if (argc == 2 && !strcmp(argv[1], "list")) {
        for (size_t n = 0; n < row_count; n++)
            puts(rows[n].name);
        return 0;
    }
    return run_all(argc, argv);
}
