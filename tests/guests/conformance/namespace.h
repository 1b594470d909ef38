/* Namespaces as /proc shows them, their offsets, and the distances of their clocks. */

static const char OWN[] = "/proc/self/ns/time", FOR_CHILDREN[] = "/proc/self/ns/time_for_children";
static const char OFFSETS[] = "/proc/self/timens_offsets";

/* The offsets that most rows give; nothing else comes near them. */
static const char LATER[] = "monotonic 1000000 300000000\nboottime 2000000 600000000\n";

/* A path below the directory of process `pid`. */
static const char *of(pid_t pid, const char *name)
{
    static char paths[4][64];
    static int next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof paths[0], "/proc/%d/%s", pid, name);
    return path;
}

/* The same of the calling thread, among its process's threads. */
static const char *of_task(const char *name)
{
    char rest[48];

    snprintf(rest, sizeof rest, "task/%ld/%s", syscall(SYS_gettid), name);
    return of(getpid(), rest);
}

static ino_t inode(const char *path)
{
    struct stat status;

    return stat(path, &status) ? 0 : status.st_ino;
}

/* A namespace's name in this row. */
static const char *name_of(ino_t number)
{
    if (number == 0)
        return "absent";
    return number == shared->old ? "old" : number == shared->made ? "made" : "other";
}

/* Says which namespaces a process is in. */
static void say_where_is(pid_t pid)
{
    say("own %s", name_of(inode(of(pid, "ns/time"))));
    say("children %s", name_of(inode(of(pid, "ns/time_for_children"))));
}

static void say_where(void)
{
    say_where_is((pid_t)syscall(SYS_gettid));
}

/* unshare(2), after which the namespace has the name "made". */
static int make(void)
{
    int result = unshare(CLONE_NEWTIME);

    if (result == 0)
        shared->made = inode(FOR_CHILDREN);
    return result;
}

/* One write of `length` bytes to a file; the result, or -1. */
static ssize_t put(const char *path, const void *text, size_t length)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC), error;
    ssize_t result;

    if (fd < 0)
        return -1;
    result = write(fd, text, length);
    error = errno;
    close(fd);
    errno = error;
    return result;
}

/* Makes a namespace for children with these offsets, or ends the row. */
static void make_with(const char *offsets)
{
    must("unshare", make() == 0);
    must("write", put(OFFSETS, offsets, strlen(offsets)) == (ssize_t)strlen(offsets));
}

/* Says what a file of offsets shows: seconds and nanoseconds of each clock. */
static void say_offsets_in(const char *what, const char *path)
{
    char *text = contents(path), names[2][16];
    long long numbers[4];

    if (!text)
        say("%s %s", what, errno_name(errno));
    else if (!*text)
        say("%s nothing", what);
    else if (sscanf(text, "%9s %lld %lld %9s %lld %lld", names[0], &numbers[0], &numbers[1],
                    names[1], &numbers[2], &numbers[3]) != 6)
        say("%s else", what);
    else
        say("%s %lld.%09lld %lld.%09lld", what, numbers[0], numbers[1], numbers[2], numbers[3]);
}

static void say_offsets(void)
{
    say_offsets_in("offsets", OFFSETS);
}

/* A descriptor of a namespace of this path, or the end of the row. */
static int opened(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    must(path + (strncmp(path, "/proc/", 6) ? 0 : 6), fd >= 0);
    return fd;
}

/* The clocks that have offsets, and what they are called. */
static const struct clock {
    clockid_t id;
    const char *name;
} clocks[] = {
    { CLOCK_MONOTONIC, "monotonic" },
    { CLOCK_BOOTTIME, "boottime" },
    { CLOCK_MONOTONIC_RAW, "raw" },
    { CLOCK_MONOTONIC_COARSE, "coarse" },
};

enum way { VDSO, SYSTEM_CALL };

static long long nanos(struct timespec time)
{
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static struct timespec at(long long nanoseconds)
{
    return (struct timespec){ nanoseconds / 1000000000, nanoseconds % 1000000000 };
}

static long long reading(clockid_t id, enum way way)
{
    struct timespec now = { -1, 0 };

    if (way == VDSO)
        clock_gettime(id, &now);
    else
        syscall(SYS_clock_gettime, id, &now);
    return nanos(now);
}

/* How far a clock is from REALTIME, which has no offset: the same at all times, or nearly. */
static long long distance(clockid_t id, enum way way)
{
    long long best = LLONG_MAX, found = 0;

    for (int n = 0; n < 50 && best > 2000000; n++) {
        long long before = reading(id, way);
        long long real = reading(CLOCK_REALTIME, way);
        long long after = reading(id, way);

        if (after - before < best) {
            best = after - before;
            found = before + best / 2 - real;
        }
    }
    return found;
}

/* Tenths of seconds, rounded. */
static long long tenths(long long nanoseconds)
{
    long long half = nanoseconds < 0 ? -50000000 : 50000000;

    return (nanoseconds + half) / 100000000;
}

static void say_tenths(const char *what, long long tenths)
{
    say("%s %s%lld.%lld", what, tenths < 0 ? "-" : "+", llabs(tenths) / 10, llabs(tenths) % 10);
}

/* Says how far clocks have been moved since the row's start, by each way of reading. */
static void say_clock(const struct clock *clock)
{
    long long vdso = tenths(distance(clock->id, VDSO) - shared->distance[clock->id]);
    long long call = tenths(distance(clock->id, SYSTEM_CALL) - shared->distance[clock->id]);

    say_tenths(clock->name, vdso);
    if (call != vdso)
        say_tenths("by-call", call);
}

static void say_clocks(void)
{
    say_clock(&clocks[0]);
    say_clock(&clocks[1]);
}

/* The same and where: what a process sees of its namespace. */
static void look(void)
{
    say_where();
    say_clocks();
}

/* What a clock reads on the host, which offsets are counted from. */
static long long host_seconds(clockid_t id)
{
    return (reading(id, SYSTEM_CALL) - shared->offsets[id == CLOCK_BOOTTIME]) / 1000000000;
}

static void remember_the_start(void)
{
    long long numbers[4] = { 0 };
    char *text = contents(OFFSETS);

    if (text && sscanf(text, "monotonic %lld %lld boottime %lld %lld", &numbers[0], &numbers[1],
                       &numbers[2], &numbers[3]) == 4)
        for (int n = 0; n < 2; n++)
            shared->offsets[n] = numbers[2 * n] * 1000000000 + numbers[2 * n + 1];
    shared->old = inode(OWN);
    for (size_t n = 0; n < COUNT(clocks); n++)
        shared->distance[clocks[n].id] = distance(clocks[n].id, SYSTEM_CALL);
}

/* This program in place of the running one, to do `action`. */
static void become(const char *action)
{
    execl("/proc/self/exe", "conformance", "then", action, (char *)NULL);
    _exit(4);
}

/* All privileges, in a user namespace of one's own if need be. */
static void become_privileged(void)
{
    char map[64];
    unsigned user = geteuid(), group = getegid();

    must("unshare-user", unshare(CLONE_NEWUSER) == 0);
    put("/proc/self/setgroups", "deny", 4);
    snprintf(map, sizeof map, "0 %u 1", user);
    must("uid_map", put("/proc/self/uid_map", map, strlen(map)) > 0);
    snprintf(map, sizeof map, "0 %u 1", group);
    must("gid_map", put("/proc/self/gid_map", map, strlen(map)) > 0);
}

/* Without this capability from now on. */
static void drop(int capability)
{
    struct {
        unsigned version;
        int pid;
    } header = { 0x20080522, 0 };
    struct {
        unsigned effective, permitted, inheritable;
    } sets[2];

    must("capget", syscall(SYS_capget, &header, sets) == 0);
    sets[capability / 32].effective &= ~(1U << capability % 32);
    sets[capability / 32].permitted &= ~(1U << capability % 32);
    must("capset", syscall(SYS_capset, &header, sets) == 0);
}

/* All that is permitted, as after a change of the user. */
static void make_effective(void)
{
    unsigned header[2] = { 0x20080522, 0 }, sets[2][3];

    must("capget", syscall(SYS_capget, header, sets) == 0);
    sets[0][0] = sets[0][1];
    sets[1][0] = sets[1][1];
    must("capset", syscall(SYS_capset, header, sets) == 0);
}

static int has(int capability)
{
    unsigned header[2] = { 0x20080522, 0 }, sets[2][3];

    syscall(SYS_capget, header, sets);
    return sets[capability / 32][0] >> capability % 32 & 1;
}

enum { CAP_KILL_ = 5, CAP_SYS_PTRACE_ = 19, CAP_SYS_ADMIN_ = 21, CAP_SYS_TIME_ = 25 };
