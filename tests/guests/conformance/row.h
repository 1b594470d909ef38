/* What a row is, and how it says what it saw.
 *
 * A row runs in a process tree of its own, which is killed when its first process ends. What it says
 * is the same in each run: errnos and relations, no inode numbers, no times but rounded distances.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Descriptors that a row keeps, over execve(2) too. */
enum { SAID = 200, SHARED = 201 };

enum { SECONDS = 120 }; /* how long a row may take */

struct row {
    const char *name;
    void (*run)(void);
    const char *text; /* for rows that differ in this only */
    int needs_root;   /* and not only a user namespace of one's own */
};

static struct row rows[400];
static size_t row_count;
static const struct row *row;

static void add(const char *name, void (*run)(void), const char *text, int needs_root)
{
    if (row_count == COUNT(rows))
        abort();
    rows[row_count++] = (struct row){ name, run, text, needs_root };
}

#define ROW_THAT(name, needs_root)                                                                 \
    static void name(void);                                                                        \
    __attribute__((constructor)) static void add_##name(void)                                      \
    {                                                                                              \
        add(#name, name, NULL, needs_root);                                                        \
    }                                                                                              \
    static void name(void)

/* Rows stand in the table in the order of the text. */
#define ROW(name) ROW_THAT(name, 0)
#define ROW_OF_ROOT(name) ROW_THAT(name, 1)

/* What the processes of a row share, over execve(2) too. */
struct shared {
    ino_t old, made; /* the namespace at the start, and one that was made */
    long long distance[16];
    long long offsets[2]; /* of the namespace at the start: monotonic and boottime */
    int number; /* a process or a descriptor that an action is to use */
};

static struct shared *shared;

/* Appends words to the row's line. */
__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
    char text[400] = " ";
    va_list list;
    int length;

    va_start(list, format);
    length = vsnprintf(text + 1, sizeof text - 1, format, list);
    va_end(list);
    if (length >= (int)sizeof text - 1)
        length = sizeof text - 2;
    if (write(SAID, text, (size_t)length + 1) < 0)
        _exit(3);
}

static const char *errno_name(int error)
{
    static const struct {
        int error;
        const char *name;
    } names[] = {
        { EPERM, "EPERM" }, { ENOENT, "ENOENT" }, { ESRCH, "ESRCH" }, { EINTR, "EINTR" },
        { EBADF, "EBADF" }, { EAGAIN, "EAGAIN" }, { ENOMEM, "ENOMEM" }, { EACCES, "EACCES" },
        { EFAULT, "EFAULT" }, { EEXIST, "EEXIST" }, { EINVAL, "EINVAL" }, { ENOTTY, "ENOTTY" },
        { ENOSPC, "ENOSPC" }, { ESPIPE, "ESPIPE" }, { EROFS, "EROFS" }, { ERANGE, "ERANGE" },
        { ENOSYS, "ENOSYS" }, { EUSERS, "EUSERS" }, { EOPNOTSUPP, "EOPNOTSUPP" },
        { ETIMEDOUT, "ETIMEDOUT" }, { EIO, "EIO" }, { EXDEV, "EXDEV" }, { E2BIG, "E2BIG" }, { ENOTDIR, "ENOTDIR" },
        { ELOOP, "ELOOP" }, { EBUSY, "EBUSY" }, { ENODEV, "ENODEV" },
    };
    static char number[24];

    for (size_t n = 0; n < COUNT(names); n++)
        if (names[n].error == error)
            return names[n].name;
    snprintf(number, sizeof number, "errno-%d", error);
    return number;
}

/* Says what a call gave, where that is no descriptor and no process. */
static long did(const char *what, long result)
{
    if (result < 0)
        say("%s %s", what, errno_name(errno));
    else
        say("%s %ld", what, result);
    return result;
}

/* Says whether a call succeeded. */
static int could(const char *what, long result)
{
    say("%s %s", what, result < 0 ? errno_name(errno) : "ok");
    return result >= 0;
}

/* Ends the row where it cannot go on. */
static void must(const char *what, int is_good)
{
    if (is_good)
        return;
    say("%s %s", what, errno_name(errno));
    _exit(1);
}

static void wait_for(pid_t pid)
{
    int status = 0;

    while (waitpid(pid, &status, __WALL) < 0)
        if (errno != EINTR) {
            say("wait %s", errno_name(errno));
            return;
        }
    if (WIFSIGNALED(status))
        say("signal %d", WTERMSIG(status));
    else if (WEXITSTATUS(status))
        say("status %d", WEXITSTATUS(status));
}

/* What came of making a child, which says nothing itself until it is waited for. */
static void could_make(const char *what, long pid)
{
    int error = errno;

    if (pid > 0)
        wait_for((pid_t)pid);
    errno = error;
    could(what, pid);
}

/* Runs `action` in a child, and waits for its end. */
static void in_child(void (*action)(void))
{
    pid_t pid = fork();

    must("fork", pid >= 0);
    if (pid == 0) {
        action();
        _exit(0);
    }
    wait_for(pid);
}

/* A child that waits until it is killed, or until the row ends. */
static pid_t idle_child(void)
{
    pid_t pid = fork();

    must("fork", pid >= 0);
    while (pid == 0)
        pause();
    return pid;
}

static void end_of(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, __WALL);
}

/* A child that has done `action`, says so by the pipe, and then waits. */
static pid_t child_after(void (*action)(void))
{
    int ready[2];
    char byte;
    pid_t pid;

    must("pipe", pipe(ready) == 0);
    pid = fork();
    must("fork", pid >= 0);
    if (pid == 0) {
        close(ready[0]);
        action();
        close(ready[1]);
        for (;;)
            pause();
    }
    close(ready[1]);
    if (read(ready[0], &byte, 1) != 0)
        _exit(3);
    close(ready[0]);
    return pid;
}

/* All of a file in /proc, or an errno; for single lines and short files. */
static char *contents(const char *path)
{
    static char text[8192];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);

    if (fd >= 0)
        close(fd);
    if (length < 0)
        return NULL;
    text[length] = 0;
    return text;
}
