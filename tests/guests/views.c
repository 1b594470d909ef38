/* Opens files under /proc that show a clock, in many ways.
 *
 *   views ways DIR     by each way: how far the file is from the clocks of this process
 *   views live         what is open is read again, and again
 *   views odd DIR      what opens give that lead nowhere, or to something else
 *   views held         opens, says so, and reads whenever a line comes in
 *
 * Everything is done often enough for call sites to be patched on the way. What is printed is the same
 * on the host and in every namespace.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* More than it takes until a site is patched. */
enum { TIMES = 40 };

static double now(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

/* Reads all, and closes. */
static char *contents(int fd)
{
    static char text[1 << 20];
    size_t len = 0;
    ssize_t n;

    if (fd < 0)
        return NULL;
    while ((n = read(fd, text + len, sizeof text - 1 - len)) > 0)
        len += n;
    text[len] = 0;
    close(fd);
    return text;
}

enum kind { UPTIME, STAT, PROCESS };

static double process_started;

/* How far a text is from this process's clocks, in seconds. */
static double distance(enum kind kind, const char *text)
{
    unsigned long long ticks = 0;
    const char *at;

    switch (kind) {
    case UPTIME:
        return atof(text) - now(CLOCK_BOOTTIME);
    case STAT:
        at = strstr(text, "\nbtime ");
        return at ? atof(at + 7) - (now(CLOCK_REALTIME) - now(CLOCK_BOOTTIME)) : 1e9;
    case PROCESS:
        at = strrchr(text, ')');
        for (int field = 2; at && field < 22; field++)
            at = strchr(at + 1, ' ');
        ticks = at ? strtoull(at, NULL, 10) : 0;
        return ticks / 100.0 - process_started;
    }
    return 1e9;
}

static void show(const char *way, enum kind kind, int fd)
{
    char *text = contents(fd);
    double far;

    if (!text) {
        printf("%s: %s\n", way, strerror(errno));
        return;
    }
    far = distance(kind, text);
    if (far > -60 && far < 60)
        printf("%s: agrees\n", way);
    else
        printf("%s: %.2f s off: %.60s\n", way, far, text);
}

static void *in_thread(void *unused)
{
    char path[64];

    (void)unused;
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", gettid());
    show("a thread's own", PROCESS, open(path, O_RDONLY));
    show("thread-self", PROCESS, open("/proc/thread-self/stat", O_RDONLY));
    show("self in a thread", PROCESS, open("/proc/self/stat", O_RDONLY));
    return NULL;
}

/* Of linux/openat2.h, which not every compiler finds. */
struct how {
    unsigned long long flags, mode, resolve;
};

enum { NO_XDEV = 1, NO_SYMLINKS = 4, BENEATH = 8 };

static int openat2_of(int dir, const char *path, unsigned long long resolve)
{
    struct how how = { .flags = O_RDONLY | O_CLOEXEC, .resolve = resolve };
    return syscall(437, dir, path, &how, sizeof how);
}

static void ways(const char *dir)
{
    char path[4096];
    int proc = open("/proc", O_RDONLY | O_DIRECTORY);
    int self = open("/proc/self", O_PATH);
    int fd;
    pthread_t thread;
    FILE *file;

    show("uptime", UPTIME, open("/proc/uptime", O_RDONLY));
    show("stat", STAT, open("/proc/stat", O_RDONLY | O_CLOEXEC));
    show("self", PROCESS, open("/proc/self/stat", O_RDONLY));
    snprintf(path, sizeof path, "/proc/%d/stat", getpid());
    show("by number", PROCESS, open(path, O_RDONLY));
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", getpid());
    show("first thread", PROCESS, open(path, O_RDONLY));
    show("detours", UPTIME, open("//proc/./self/..//uptime", O_RDONLY));
    show("above the root", UPTIME, open("/../../proc/uptime", O_RDONLY));
    show("through a root", UPTIME, open("/proc/self/root/proc/uptime", O_RDONLY));
    show("beside a directory", UPTIME, openat(proc, "uptime", O_RDONLY));
    show("beside self", PROCESS, openat(self, "stat", O_RDONLY));
    show("above self", STAT, openat(self, "../stat", O_RDONLY));
    show("absolute all the same", UPTIME, openat(-1, "/proc/uptime", O_RDONLY));
    if (!chdir("/proc"))
        show("relative", UPTIME, open("uptime", O_RDONLY));
    if (!chdir("/proc/self"))
        show("relative to self", PROCESS, open("stat", O_RDONLY));
    snprintf(path, sizeof path, "%s/uptime", dir);
    unlink(path);
    if (!symlink("/proc/uptime", path))
        show("a link", UPTIME, open(path, O_RDONLY));
    snprintf(path, sizeof path, "%s/here", dir);
    unlink(path);
    if (!symlink("../../../../../../../../proc/self", path)) {
        snprintf(path, sizeof path, "%s/here/stat", dir);
        show("a link to a directory", PROCESS, open(path, O_RDONLY));
    }
    show("openat2", UPTIME, openat2_of(AT_FDCWD, "/proc/uptime", 0));
    show("openat2, below", PROCESS,
         openat2_of(self, "stat", BENEATH | NO_SYMLINKS | NO_XDEV));
    file = fopen("/proc/uptime", "r");
    show("a stream", UPTIME, file ? dup(fileno(file)) : -1);
    if (file)
        fclose(file);
    show("syscall", UPTIME, syscall(SYS_open, "/proc/uptime", O_RDONLY));
    pthread_create(&thread, NULL, in_thread, NULL);
    pthread_join(thread, NULL);
    for (int i = 0; i < TIMES; i++)
        close(open("/dev/null", O_RDONLY));
    show("often", UPTIME, open("/proc/uptime", O_RDONLY));
    fd = open("/proc/self/exe", O_RDONLY);
    printf("exe: %s\n", fd >= 0 && pread(fd, path, 4, 0) == 4 ? "opens" : "fails");
    close(fd);
    close(proc);
    close(self);
}

/* The text of an open file, from its beginning. */
static double again(int fd)
{
    char text[64] = "";

    if (pread(fd, text, sizeof text - 1, 0) <= 0)
        return -1;
    return atof(text);
}

static void live(void)
{
    int fd = open("/proc/uptime", O_RDONLY);
    double first = again(fd), second, third;
    char one[64] = "", byte;
    int len = 0;
    struct timespec wait = { .tv_nsec = 300000000 };

    nanosleep(&wait, NULL);
    second = again(fd);
    printf("goes on: %d\n", second > first + 0.2 && second < first + 60);
    nanosleep(&wait, NULL);
    lseek(fd, 0, SEEK_SET);
    if (read(fd, one, 5) != 5)
        printf("short\n");
    lseek(fd, 0, SEEK_SET);
    /* A byte at a time, as shells read. */
    while (len < 60 && read(fd, &byte, 1) == 1)
        one[len++] = byte;
    one[len] = 0;
    third = atof(one);
    printf("and on: %d\n", third > second + 0.2 && third < second + 60);
    printf("one line: %d\n", len > 5 && strchr(one, '\n') == one + len - 1);
    printf("agrees: %d\n", now(CLOCK_BOOTTIME) - again(fd) < 60);
    printf("write: %d\n", write(fd, "1", 1) < 0 ? errno : 0);
    close(fd);
}

/* Whether this round is printed. */
static int is_shown;

static void say(const char *what, int value)
{
    if (is_shown)
        printf("%s: %d\n", what, value);
}

static void error(const char *what, int fd)
{
    if (is_shown)
        printf("%s: %s\n", what, fd < 0 ? strerror(errno) : "opens");
    if (fd >= 0)
        close(fd);
}

static void odd(const char *dir)
{
    static char long_path[8192];
    char path[4096], *page, *end, *volatile null = NULL;
    struct rlimit files, few;
    int fd;

    page = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(page + 4096, 4096);
    mprotect(page + 8192, 4096, PROT_NONE);
    end = page + 4096;
    memset(long_path, '/', sizeof long_path - 1);
    memcpy(long_path + sizeof long_path - 12, "proc/uptime", 12);
    for (int i = 0; i <= TIMES; i++) {
        /* Before a site is patched, and after. */
        is_shown = i == 0 || i == TIMES;
        error("null", open(null, O_RDONLY));
        error("nowhere", open((char *)-4096, O_RDONLY));
        error("not canonical", open((char *)0x8000000000000000, O_RDONLY));
        error("unmapped", open(end, O_RDONLY));
        error("forbidden", open(page + 8192, O_RDONLY));
        memcpy(end - 12, "/proc/uptime", 12);
        error("no end", open(end - 12, O_RDONLY));
        memcpy(end - 13, "/proc/uptime", 13);
        error("at the end", open(end - 13, O_RDONLY));
        error("too long", open(long_path, O_RDONLY));
        error("nearly too long", open(long_path + sizeof long_path - 4096, O_RDONLY));
        error("empty", open("", O_RDONLY));
        error("slash", open("/proc/uptime/", O_RDONLY));
        error("below a file", open("/proc/uptime/stat", O_RDONLY));
        error("no process", open("/proc/0/stat", O_RDONLY));
        error("bad directory", openat(-7, "uptime", O_RDONLY));
        error("no directory", openat(0, "uptime", O_RDONLY));
        error("directory", open("/proc/uptime", O_RDONLY | O_DIRECTORY));
        error("new", open("/proc/uptime", O_RDWR | O_CREAT | O_EXCL, 0600));
        error("path", open("/proc/uptime", O_PATH));
        error("loop", openat2_of(AT_FDCWD, "/proc/self/stat", NO_SYMLINKS));
        snprintf(path, sizeof path, "%s/loop", dir);
        mkdir(path, 0700);
        snprintf(path, sizeof path, "%s/loop/uptime", dir);
        symlink("uptime", path);
        error("a link to itself", open(path, O_RDONLY));
        snprintf(path, sizeof path, "%s/uptime", dir);
        unlink(path);
        symlink("/proc/uptime", path);
        error("a link not followed", open(path, O_RDONLY | O_NOFOLLOW));
        /* What has the name only. */
        unlink(path);
        mkfifo(path, 0600);
        fd = open(path, O_RDWR);
        error("a pipe", open(path, O_RDONLY));
        close(fd);
        error("a pipe without writers", open(path, O_RDONLY | O_NONBLOCK));
        unlink(path);
        fd = open(path, O_RDWR | O_CREAT, 0600);
        say("a file", write(fd, "own\n", 4) == 4);
        close(fd);
        fd = open(path, O_RDONLY);
        say("a file's own text", pread(fd, path, 4, 0) == 4 && !memcmp(path, "own\n", 4));
        close(fd);
        /* The lowest free number, and its flags. */
        fd = open("/dev/null", O_RDONLY);
        close(fd);
        say("number", open("/proc/uptime", O_RDONLY | O_CLOEXEC) - fd);
        say("closes", fcntl(fd, F_GETFD));
        say("next", open("/proc/self/stat", O_RDONLY) - fd);
        say("stays", fcntl(fd + 1, F_GETFD));
        say("and no more", fcntl(fd + 2, F_GETFD));
        close(fd);
        close(fd + 1);
        getrlimit(RLIMIT_NOFILE, &files);
        few = files;
        few.rlim_cur = fd;
        setrlimit(RLIMIT_NOFILE, &few);
        error("one too many", open("/proc/uptime", O_RDONLY));
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

static void held(void)
{
    int uptime = open("/proc/uptime", O_RDONLY), stat = open("/proc/stat", O_RDONLY);
    char line[64];

    printf("open\n");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        double far = again(uptime) - now(CLOCK_BOOTTIME);
        printf("%s %zd\n", far > -60 && far < 60 ? "agrees" : strerror(errno),
               pread(stat, line, 4, 0));
        fflush(stdout);
    }
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    const char *dir = argc > 2 ? argv[2] : "/tmp";

    process_started = now(CLOCK_BOOTTIME);
    if (!strcmp(mode, "ways"))
        ways(dir);
    else if (!strcmp(mode, "live"))
        live();
    else if (!strcmp(mode, "odd"))
        odd(dir);
    else if (!strcmp(mode, "held"))
        held();
    else
        return 2;
    return 0;
}
