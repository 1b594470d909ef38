/* What /proc and sysinfo(2) tell, by the reader's namespace. */
#include <sys/sysinfo.h>
#include <sys/times.h>

/* Seconds, compared with a clock that was read before and after: of resolution 1. */
static void say_agrees(const char *what, double told, clockid_t id, double slack)
{
    double now = (double)reading(id, VDSO) / 1e9, difference = now - told;

    say("%s %s", what, difference > -slack && difference < slack + 300 ? "agrees" : "differs");
}

static double uptime_field(int which)
{
    double fields[2] = { -1, -1 };
    char *text = contents("/proc/uptime");

    if (text)
        sscanf(text, "%lf %lf", &fields[0], &fields[1]);
    return fields[which];
}

static long long btime(void)
{
    static char text[1 << 20];
    int fd = open("/proc/stat", O_RDONLY | O_CLOEXEC);
    ssize_t length, all = 0;
    char *line;

    while ((length = read(fd, text + all, sizeof text - 1 - (size_t)all)) > 0)
        all += length;
    close(fd);
    text[all] = 0;
    line = strstr(text, "\nbtime ");
    return line ? atoll(line + 7) : -1;
}

/* A process's start, in seconds. */
static double start_of(const char *path)
{
    char *text = contents(path);
    unsigned long long ticks = 0;
    int field = 3;

    if (!text || !(text = strrchr(text, ')')))
        return -1;
    for (text += 2; field < 22 && (text = strchr(text, ' ')); field++)
        text++;
    if (!text || sscanf(text, "%llu", &ticks) != 1)
        return -1;
    return (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

static void say_views(void)
{
    struct sysinfo info = { 0 };

    say_agrees("uptime", uptime_field(0), CLOCK_BOOTTIME, 1);
    sysinfo(&info);
    say_agrees("sysinfo", (double)info.uptime, CLOCK_BOOTTIME, 2);
    say_agrees("btime", (double)btime() + (double)reading(CLOCK_BOOTTIME, VDSO) / 1e9, CLOCK_REALTIME, 2);
    say_agrees("start", start_of(of(getpid(), "stat")), CLOCK_BOOTTIME, 1);
    say_agrees("start-of-task", start_of(of_task("stat")), CLOCK_BOOTTIME, 1);
}

ROW(the_views_agree_at_first)
{
    in_child(say_views);
}

ROW(the_views_agree_in_a_namespace)
{
    make_with(LATER);
    in_child(say_views);
}

ROW(the_views_agree_where_boottime_is_short)
{
    char text[64];

    snprintf(text, sizeof text, "boottime -%lld 0\n", host_seconds(CLOCK_BOOTTIME) - 1);
    make_with(text);
    in_child(say_views);
}

ROW(the_views_agree_after_setns)
{
    pid_t other = stranger();

    could("setns", setns(opened(of(other, "ns/time")), CLONE_NEWTIME));
    say_views();
    end_of(other);
}

ROW(the_views_agree_after_an_exec)
{
    make_with(LATER);
    become("views");
}

ROW(the_views_of_who_has_not_entered)
{
    make_with(LATER);
    in_child(nothing);
    say_agrees("uptime", uptime_field(0), CLOCK_BOOTTIME, 1);
    say_agrees("start", start_of(of(getpid(), "stat")), CLOCK_BOOTTIME, 5);
}

static void say_start_of_parent(void)
{
    say_agrees("parent", start_of(of(getppid(), "stat")), CLOCK_BOOTTIME, 5);
}

ROW(a_process_started_before_is_seen_with_the_readers_offset)
{
    make_with(LATER);
    in_child(say_start_of_parent);
}

ROW(a_process_in_a_namespace_is_seen_without_an_offset)
{
    pid_t child = child_in_namespace();

    say_agrees("child", start_of(of(child, "stat")), CLOCK_BOOTTIME, 1);
    end_of(child);
}

static void say_start_of_the_older(void)
{
    double start = start_of(of(shared->number, "stat"));

    say("older %s", start < 0 ? "unreadable" : start < 10 ? "at-zero" : start > 1e9 ? "wrapped" : "else");
}

ROW(a_process_older_than_the_boot_of_the_readers_namespace)
{
    char text[64];

    shared->number = idle_child();
    /* So far back that the child's start would be before the boot. */
    while (reading(CLOCK_BOOTTIME, SYSTEM_CALL) / 1e9 - start_of(of(shared->number, "stat")) < 2.5)
        nanosleep(&(struct timespec){ 0, 100000000 }, NULL);
    snprintf(text, sizeof text, "boottime -%lld 0\n", host_seconds(CLOCK_BOOTTIME) - 1);
    make_with(text);
    in_child(say_start_of_the_older);
    end_of(shared->number);
}

static void say_idle(void)
{
    double idle = uptime_field(1) - (double)shared->distance[15] / 1e9;

    say("idle %s", idle > -5 && idle < 1000 ? "not-shifted" : "shifted");
}

ROW(the_idle_time_is_not_shifted)
{
    make_with(LATER);
    shared->distance[15] = (long long)(uptime_field(1) * 1e9);
    in_child(say_idle);
}

static void say_ticks(void)
{
    struct tms times_;
    long long ticks = times(&times_) - shared->distance[15];

    say("times %s", ticks > -100 && ticks < 100 * 60 ? "not-shifted" : "shifted");
}

ROW(times_is_not_shifted)
{
    struct tms times_;

    make_with(LATER);
    shared->distance[15] = times(&times_);
    in_child(say_ticks);
}

static const clockid_t others[] = { CLOCK_REALTIME, CLOCK_REALTIME_COARSE, CLOCK_TAI };

static void say_others(void)
{
    for (size_t n = 0; n < COUNT(others); n++) {
        long long moved = distance(others[n], VDSO) - shared->distance[12 + n];
        long long by_call = distance(others[n], SYSTEM_CALL) - shared->distance[12 + n];

        say("%d", moved > -100000000 && moved < 100000000 && by_call > -100000000 && by_call < 100000000);
    }
}

ROW(other_clocks_are_not_shifted)
{
    make_with(LATER);
    for (size_t n = 0; n < COUNT(others); n++)
        shared->distance[12 + n] = distance(others[n], VDSO);
    in_child(say_others);
}

static void say_all_clocks(void)
{
    for (size_t n = 0; n < COUNT(clocks); n++)
        say_clock(&clocks[n]);
}

ROW(each_clock_has_its_offset)
{
    make_with(LATER);
    in_child(say_all_clocks);
    say_all_clocks();
}

ROW(each_clock_has_its_offset_when_behind)
{
    make_with("monotonic -1 0\nboottime -2 500000000\n");
    in_child(say_all_clocks);
}

ROW(each_clock_has_its_offset_after_setns)
{
    pid_t other = stranger();

    must("setns", setns(opened(of(other, "ns/time")), CLONE_NEWTIME) == 0);
    say_all_clocks();
    end_of(other);
}

static void say_alarm_clock(void)
{
    struct timespec now = { 0, 0 };

    if (clock_gettime(CLOCK_BOOTTIME_ALARM, &now) && errno == EINVAL)
        say("alarm agrees");
    else
        say_agrees("alarm", (double)nanos(now) / 1e9, CLOCK_BOOTTIME, 1);
}

ROW(the_alarm_clock_agrees_where_there_is_one)
{
    make_with(LATER);
    in_child(say_alarm_clock);
}

/* Both ways of reading by turns: never backwards. */
static void say_monotone(void)
{
    int wrong = 0;

    for (size_t clock = 0; clock < 2; clock++) {
        long long last = reading(clocks[clock].id, VDSO);

        for (int n = 0; n < 2000; n++) {
            long long now = reading(clocks[clock].id, n % 2 ? VDSO : SYSTEM_CALL);

            wrong += now < last;
            last = now;
        }
    }
    did("backwards", wrong);
}

ROW(readings_of_both_kinds_never_go_backwards)
{
    make_with(LATER);
    in_child(say_monotone);
}

static void say_resolutions(void)
{
    struct timespec resolution;

    clock_getres(CLOCK_MONOTONIC, &resolution);
    say("%lld", nanos(resolution));
    clock_getres(CLOCK_BOOTTIME, &resolution);
    say("%lld", nanos(resolution));
}

ROW(clocks_resolve_a_nanosecond)
{
    make_with(LATER);
    in_child(say_resolutions);
}

/* openat2(2) with these words of `struct open_how`, of which the kernel is told `size` bytes. */
static void open_so(const char *what, const char *path, const void *how, size_t size)
{
    int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, how, size);

    could(what, fd);
    if (fd >= 0)
        close(fd);
}

static void open_in_all_ways(const char *path)
{
    static const struct {
        const char *what;
        unsigned long long how[520]; /* more than a page */
        size_t size;
    } ways[] = {
        { "plain", { 0 }, 24 },
        { "close-on-exec", { O_CLOEXEC }, 24 },
        { "large", { 0100000 }, 24 },
        { "short", { 0 }, 16 },
        { "longer", { 0 }, 40 },
        { "later", { 0, 0, 0, 1 }, 40 },
        { "odd", { 0 }, 27 },
        { "longest", { 0 }, 4097 },
        { "upper", { 1ULL << 32 }, 24 },
        { "unknown", { 1 << 30 }, 24 },
        { "mode", { 0, 0644 }, 24 },
        { "creating", { O_CREAT, 0644 }, 24 },
        { "creating-oddly", { O_CREAT, 0200000 }, 24 },
        { "tmpfile", { O_TMPFILE | O_RDWR, 0644 }, 24 },
        { "no-links", { 0, 0, 4 }, 24 },
        { "both", { 0, 0, 0x18 }, 24 },
        { "beneath", { 0, 0, 8 }, 24 },
        { "other", { 0, 0, 0x40 }, 24 },
    };

    for (size_t n = 0; n < COUNT(ways); n++)
        open_so(ways[n].what, path, ways[n].how, ways[n].size);
    could("bad", (int)syscall(SYS_openat2, AT_FDCWD, path, (void *)8, 24));
}

ROW(a_view_opens_in_these_ways_by_openat2)
{
    open_in_all_ways("/proc/uptime");
}

ROW(the_offsets_open_in_these_ways_by_openat2)
{
    open_in_all_ways(OFFSETS);
}

ROW(a_view_is_truncated_by_who_may_write)
{
    char stat[32];

    snprintf(stat, sizeof stat, "/proc/%d/stat", getpid());
    could("uptime", open("/proc/uptime", O_RDONLY | O_TRUNC));
    could("stat", open("/proc/stat", O_RDONLY | O_TRUNC));
    could("process", open(stat, O_RDONLY | O_TRUNC));
    could("offsets", open(OFFSETS, O_RDONLY | O_TRUNC));
    could("other", open("/proc/1/timens_offsets", O_RDONLY | O_TRUNC));
    drop(1);
    could("uptime", open("/proc/uptime", O_RDONLY | O_TRUNC));
}
