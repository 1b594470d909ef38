/* /proc/PID/timens_offsets (fs/proc/base.c: timens_offsets_write, kernel/time/namespace.c:
 * proc_timens_set_offset).
 */

/* One write in a new namespace, and what the file shows then. */
static void one_write(void)
{
    must("unshare", make() == 0);
    did("write", put(OFFSETS, row->text, strlen(row->text)));
    say_offsets();
}

static const struct {
    const char *name, *text;
} writes[] = {
    { "write_monotonic", "monotonic 5 6\n" },
    { "write_boottime", "boottime 5 6\n" },
    { "write_monotonic_by_number", "1 5 6\n" },
    { "write_boottime_by_number", "7 5 6\n" },
    { "write_without_a_newline", "monotonic 5 6" },
    { "write_both", "monotonic 1 2\nboottime 3 4\n" },
    { "write_both_without_a_last_newline", "monotonic 1 2\nboottime 3 4" },
    { "write_both_in_the_other_order", "boottime 3 4\nmonotonic 1 2\n" },
    { "write_the_same_clock_twice", "monotonic 1 0\nmonotonic 2 0\n" },
    { "write_the_same_clock_by_name_and_number", "monotonic 1 0\n1 2 0\n" },
    { "write_three_lines", "monotonic 1 0\nboottime 2 0\nmonotonic 3 0" },
    { "write_three_lines_of_which_the_last_is_wrong", "monotonic 1 0\nboottime 2 0\nnonsense" },
    { "write_two_lines_and_an_empty_one", "monotonic 1 0\nboottime 2 0\n\n" },
    { "write_a_negative_fraction", "monotonic -1 999999999\n" },
    { "write_minus_zero", "monotonic -0 5\n" },
    { "write_nanoseconds_999999999", "monotonic 1 999999999\n" },
    { "write_nanoseconds_1000000000", "monotonic 1 1000000000\n" },
    { "write_nanoseconds_negative", "monotonic 1 -1\n" },
    { "write_a_plus_sign_in_the_nanoseconds", "monotonic 1 +1\n" },
    { "write_clock_0", "0 1 0\n" },
    { "write_clock_2", "2 1 0\n" },
    { "write_clock_4", "4 1 0\n" },
    { "write_clock_6", "6 1 0\n" },
    { "write_clock_9", "9 1 0\n" },
    { "write_clock_01", "01 1 0\n" },
    { "write_realtime", "realtime 1 0\n" },
    { "write_tai", "tai 1 0\n" },
    { "write_upper_case", "MONOTONIC 1 0\n" },
    { "write_a_part_of_the_name", "mono 1 0\n" },
    { "write_nonsense", "nonsense\n" },
    { "write_nothing_but_a_newline", "\n" },
    { "write_an_empty_line_between", "monotonic 1 0\n\nboottime 2 0\n" },
    { "write_without_nanoseconds", "monotonic 1\n" },
    { "write_without_seconds", "monotonic\n" },
    { "write_a_plus_sign", "monotonic +10 0\n" },
    { "write_hexadecimal", "monotonic 0x10 0\n" },
    { "write_a_leading_zero", "monotonic 010 0\n" },
    { "write_a_decimal_point", "monotonic 1.5 0\n" },
    { "write_a_letter_in_the_seconds", "monotonic 1s 0\n" },
    { "write_leading_blanks", "  \tmonotonic 1 0\n" },
    { "write_tabs_between", "monotonic\t1\t0\n" },
    { "write_many_blanks_between", "monotonic     1     0     \n" },
    { "write_a_carriage_return", "monotonic 1 0\r\nboottime 2 0\r\n" },
    { "write_more_after_the_nanoseconds", "monotonic 1 0 and more\n" },
    { "write_letters_after_the_nanoseconds", "monotonic 1 5and\n" },
    { "write_a_second_line_out_of_range", "monotonic 5 0\nboottime -9000000000 0\n" },
    { "write_a_first_line_out_of_range", "monotonic -9000000000 0\nboottime 5 0\n" },
    { "write_a_second_line_that_is_wrong", "monotonic 5 0\nnonsense 1 0\n" },
    { "write_a_wrong_line_after_one_out_of_range", "monotonic -9000000000 0\nnonsense 1 0\n" },
    { "write_seconds_9223372036", "monotonic 9223372036 0\n" },
    { "write_seconds_9223372037", "monotonic 9223372037 0\n" },
    { "write_seconds_-9223372036", "monotonic -9223372036 0\n" },
    { "write_seconds_-9223372037", "monotonic -9223372037 0\n" },
    { "write_seconds_of_64_bits", "monotonic 9223372036854775807 0\n" },
    { "write_seconds_of_more_than_64_bits", "monotonic 18446744073709551617 0\n" },
    { "write_a_name_of_nine_letters_and_a_number", "monotonic123 5 0\n" },
    { "write_nanoseconds_of_64_bits", "monotonic 5 18446744073709551615\n" },
};

__attribute__((constructor)) static void add_writes(void)
{
    for (size_t n = 0; n < COUNT(writes); n++)
        add(writes[n].name, one_write, writes[n].text, 0);
}

/* Offsets so that a clock would read `sum` seconds, and some more. */
static void write_sum(clockid_t id, const char *name, long long sum, int some)
{
    char text[64];

    must("unshare", make() == 0);
    snprintf(text, sizeof text, "%s %lld 0\n", name, sum - host_seconds(id) + some);
    did("write", put(OFFSETS, text, strlen(text)) > 0 ? 0 : -1);
}

ROW(write_a_clock_just_above_zero)
{
    write_sum(CLOCK_MONOTONIC, "monotonic", 0, 2);
}

ROW(write_a_clock_below_zero)
{
    write_sum(CLOCK_MONOTONIC, "monotonic", 0, -100);
}

ROW(write_a_boottime_just_above_zero)
{
    write_sum(CLOCK_BOOTTIME, "boottime", 0, 2);
}

ROW(write_a_boottime_below_zero)
{
    write_sum(CLOCK_BOOTTIME, "boottime", 0, -100);
}

ROW(write_a_clock_just_below_the_limit)
{
    write_sum(CLOCK_MONOTONIC, "monotonic", 4611686018, -100);
}

ROW(write_a_clock_above_the_limit)
{
    write_sum(CLOCK_MONOTONIC, "monotonic", 4611686018, 2);
}

ROW(write_a_boottime_just_below_the_limit)
{
    write_sum(CLOCK_BOOTTIME, "boottime", 4611686018, -100);
}

ROW(write_a_boottime_above_the_limit)
{
    write_sum(CLOCK_BOOTTIME, "boottime", 4611686018, 2);
}

/* A write of `length` bytes, of which the last are a good line. */
static void write_of(size_t length)
{
    static const char line[] = "monotonic 1 0\n";
    static char text[8192];

    memset(text, ' ', sizeof text);
    memcpy(text + length - strlen(line), line, strlen(line));
    must("unshare", make() == 0);
    did("write", put(OFFSETS, text, length));
    say_offsets();
}

ROW(write_4095_bytes)
{
    write_of(4095);
}

ROW(write_4096_bytes)
{
    write_of(4096);
}

ROW(write_a_null_byte_after_a_line)
{
    must("unshare", make() == 0);
    did("write", put(OFFSETS, "monotonic 1 0\n\0boottime 2 0\n", 28));
    say_offsets();
}

ROW(write_a_null_byte_in_a_line)
{
    must("unshare", make() == 0);
    did("write", put(OFFSETS, "monotonic 1 0\0 nonsense\n", 24));
    say_offsets();
}

ROW(write_no_bytes)
{
    must("unshare", make() == 0);
    did("write", put(OFFSETS, "", 0));
}

ROW(write_from_a_bad_address)
{
    void *volatile bad = (void *)16;

    must("unshare", make() == 0);
    did("write", put(OFFSETS, bad, 14));
    did("too-long", put(OFFSETS, bad, 4096));
    say_offsets();
}

/* The same descriptor all the time. */
static int offsets_open(int flags)
{
    int fd;

    must("unshare", make() == 0);
    fd = open(OFFSETS, flags | O_CLOEXEC);
    must("open", fd >= 0);
    return fd;
}

ROW(write_again_and_again)
{
    int fd = offsets_open(O_RDWR);

    did("write", write(fd, "monotonic 1 0\n", 14));
    did("at", lseek(fd, 0, SEEK_CUR));
    did("write", write(fd, "boottime 2 0\n", 13));
    did("write", write(fd, "monotonic 3 0\n", 14));
    did("write", write(fd, "nonsense\n", 9));
    did("at", lseek(fd, 0, SEEK_CUR));
    say_offsets();
}

ROW(write_at_another_position)
{
    int fd = offsets_open(O_RDWR);

    did("seek", lseek(fd, 1, SEEK_SET));
    did("write", write(fd, "monotonic 1 0\n", 14));
    did("seek", lseek(fd, 0, SEEK_SET));
    did("write", write(fd, "monotonic 1 0\n", 14));
    say_offsets();
}

ROW(write_after_reading)
{
    int fd = offsets_open(O_RDWR);
    char text[256];

    did("read", read(fd, text, sizeof text));
    did("read", read(fd, text, sizeof text));
    did("write", write(fd, "monotonic 1 0\n", 14));
    did("seek", lseek(fd, 0, SEEK_SET));
    did("write", write(fd, "monotonic 1 0\n", 14));
    did("read", read(fd, text, sizeof text));
}

ROW(write_by_pwrite)
{
    int fd = offsets_open(O_RDWR);

    did("pwrite", pwrite(fd, "monotonic 1 0\n", 14, 0));
    did("pwrite", pwrite(fd, "monotonic 1 0\n", 14, 1));
    say_offsets();
}

ROW(write_by_writev)
{
    struct iovec {
        const void *base;
        size_t length;
    } parts[] = { { "monotonic 1 0\n", 14 }, { "boottime 2 0\n", 13 } };
    int fd = offsets_open(O_WRONLY);

    did("writev", syscall(SYS_writev, fd, parts, 2));
    say_offsets();
}

ROW(write_through_a_descriptor_for_reading)
{
    int fd = offsets_open(O_RDONLY);

    did("write", write(fd, "monotonic 1 0\n", 14));
}

ROW(write_in_the_manner_of_a_shell)
{
    int fd = offsets_open(O_WRONLY | O_CREAT | O_TRUNC);

    did("truncating", write(fd, "monotonic 1 0\n", 14));
    fd = open(OFFSETS, O_WRONLY | O_APPEND);
    did("appending", write(fd, "boottime 2 0\n", 13));
    say_offsets();
}

ROW(write_truncates_nothing)
{
    int fd = offsets_open(O_RDWR);

    could("ftruncate", ftruncate(fd, 0));
    could("truncate", truncate(OFFSETS, 0));
    say_offsets();
}

ROW(the_file_reads_as_two_lines)
{
    char *text, *end;

    make_with("monotonic -1 5\nboottime 123456 999999999\n");
    text = contents(OFFSETS);
    must("read", text != NULL);
    for (char *line = text; (end = strchr(line, '\n')); line = end + 1)
        say("[%.*s]", (int)(end - line), line);
}

ROW(the_file_reads_in_pieces)
{
    char text[64];
    int fd = offsets_open(O_RDONLY);

    did("read", read(fd, text, 10));
    did("pread", pread(fd, text, 5, 10));
    did("read", read(fd, text, sizeof text));
    did("read", read(fd, text, sizeof text));
    did("seek", lseek(fd, 0, SEEK_SET));
    did("read", read(fd, text, 10));
}

ROW(the_file_of_a_thread)
{
    make_with(LATER);
    say_offsets_in("task", of_task("timens_offsets"));
    say_offsets_in("thread-self", "/proc/thread-self/timens_offsets");
}

ROW(the_file_looks_like_this)
{
    struct stat status;

    must("stat", stat(OFFSETS, &status) == 0);
    say("mode %o size %lld links %d", status.st_mode, (long long)status.st_size, (int)status.st_nlink);
    say("owner %s", status.st_uid == geteuid() ? "own" : "other");
    could("access-read", access(OFFSETS, R_OK));
    could("access-write", access(OFFSETS, W_OK));
    could("access-execute", access(OFFSETS, X_OK));
}

ROW(the_file_opens_in_these_ways)
{
    int proc = open("/proc/self", O_PATH | O_CLOEXEC);

    could("directory", open(OFFSETS, O_RDONLY | O_DIRECTORY | O_CLOEXEC) < 0 && errno == ENOTDIR ? 0 : -1);
    could("exclusive", open(OFFSETS, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    could("path", open(OFFSETS, O_PATH | O_CLOEXEC));
    could("at", openat(proc, "timens_offsets", O_RDWR | O_CLOEXEC));
    could("no-follow", open(OFFSETS, O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    must("chdir", chdir("/proc/self") == 0);
    could("relative", open("timens_offsets", O_RDWR | O_CLOEXEC));
    could("dotted", open("./../self/./timens_offsets", O_RDONLY | O_CLOEXEC));
    could("unlink", unlink("timens_offsets"));
    could("chmod", chmod("timens_offsets", 0600));
}

ROW(the_file_is_that_of_the_namespace_for_children)
{
    make_with(LATER);
    say_where();
    say_offsets();
    say_clocks();
}

ROW(the_file_of_another_process_is_read)
{
    make_with(LATER);
    shared->number = getpid();
    must("unshare", unshare(CLONE_NEWTIME) == 0);
    must("write", put(OFFSETS, "monotonic 5 0\n", 14) == 14);
    pid_t child = idle_child();
    say_offsets_in("own", OFFSETS);
    say_offsets_in("child's", of(child, "timens_offsets"));
    end_of(child);
}

static void unshare_quietly(void)
{
    must("unshare", unshare(CLONE_NEWTIME) == 0);
}

ROW(the_file_of_another_process_is_written)
{
    pid_t child = child_after(unshare_quietly);

    did("write", put(of(child, "timens_offsets"), "monotonic 7 0\n", 14));
    say_offsets_in("child's", of(child, "timens_offsets"));
    say_offsets();
    end_of(child);
}

ROW(the_file_of_a_process_that_is_gone)
{
    pid_t child = child_after(unshare_quietly);
    int fd = open(of(child, "timens_offsets"), O_RDWR | O_CLOEXEC);
    int fresh = open(of(child, "timens_offsets"), O_RDWR | O_CLOEXEC);
    char text[256];

    must("open", fd >= 0 && fresh >= 0);
    did("read", read(fd, text, sizeof text));
    end_of(child);
    did("read", read(fd, text, sizeof text));
    did("read-first", read(fresh, text, sizeof text));
    lseek(fd, 0, SEEK_SET);
    did("write", write(fd, "monotonic 7 0\n", 14));
    did("nonsense", write(fd, "nonsense\n", 9));
    could("open", open(of(child, "timens_offsets"), O_RDWR | O_CLOEXEC));
}

ROW(the_file_of_a_zombie)
{
    pid_t child = child_after(unshare_quietly);
    siginfo_t info;

    kill(child, SIGKILL);
    must("waitid", waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT) == 0);
    say_offsets_in("offsets", of(child, "timens_offsets"));
    did("write", put(of(child, "timens_offsets"), "monotonic 7 0\n", 14));
    waitpid(child, NULL, 0);
}

/* Writes once more, after something has happened. */
static void write_more(const char *what)
{
    did(what, put(OFFSETS, "monotonic 9 0\n", 14));
}

ROW(write_before_anything_is_unshared)
{
    write_more("write");
}

static void nothing(void)
{
}

ROW(frozen_by_a_fork)
{
    make_with(LATER);
    write_more("before");
    in_child(nothing);
    write_more("after");
    say_offsets();
}

static void enter_for_children(void)
{
    int fd = opened(FOR_CHILDREN);

    could("setns", setns(fd, CLONE_NEWTIME));
}

ROW(frozen_by_setns)
{
    make_with(LATER);
    enter_for_children();
    write_more("after");
    say_offsets();
}

static void make_later(void)
{
    make_with(LATER);
}

ROW(frozen_by_the_setns_of_another_process)
{
    pid_t child = child_after(make_later);

    did("before", put(of(child, "timens_offsets"), "monotonic 9 0\n", 14));
    could("setns", setns(opened(of(child, "ns/time_for_children")), CLONE_NEWTIME));
    did("after", put(of(child, "timens_offsets"), "monotonic 9 0\n", 14));
    end_of(child);
}

ROW(not_frozen_by_vfork)
{
    pid_t pid;

    make_with(LATER);
    pid = vfork();
    if (pid == 0)
        _exit(0);
    must("vfork", pid > 0);
    wait_for(pid);
    write_more("after");
}

static void through_a_kept_descriptor(void)
{
    did("child's", write(shared->number, "monotonic 9 0\n", 14));
}

ROW(frozen_for_a_kept_descriptor_too)
{
    make_with(LATER);
    shared->number = open(OFFSETS, O_RDWR | O_CLOEXEC);
    did("before", write(shared->number, "monotonic 8 0\n", 14));
    in_child(through_a_kept_descriptor);
    did("after", write(shared->number, "monotonic 9 0\n", 14));
    say_offsets();
}

ROW(frozen_writes_give_these_errors)
{
    static const char *const texts[] = { "nonsense\n", "realtime 1 0\n", "monotonic 1 1000000000\n",
                                         "monotonic -9000000000 0\n", "monotonic 1 0\n" };

    make_with(LATER);
    in_child(nothing);
    for (size_t n = 0; n < COUNT(texts); n++)
        did("write", put(OFFSETS, texts[n], strlen(texts[n])));
}

ROW(frozen_by_an_own_exec)
{
    make_with(LATER);
    become("write");
}

ROW(not_frozen_by_a_failed_exec)
{
    make_with(LATER);
    execl("/proc/self/no-such-program", "x", (char *)NULL);
    write_more("after");
    say_where();
}

static void become_a_writer(void)
{
    become("write");
}

ROW(frozen_by_the_exec_of_a_vforked_child)
{
    pid_t pid;

    make_with(LATER);
    pid = vfork();
    if (pid == 0)
        become_a_writer();
    must("vfork", pid > 0);
    wait_for(pid);
    write_more("after");
}

ROW(a_new_namespace_after_a_frozen_one_can_be_written)
{
    make_with(LATER);
    in_child(nothing);
    could("unshare", unshare(CLONE_NEWTIME));
    write_more("write");
    say_offsets();
}

ROW(writing_takes_CAP_SYS_TIME)
{
    must("unshare", make() == 0);
    drop(CAP_SYS_TIME_);
    did("write", put(OFFSETS, "monotonic 1 0\n", 14));
    did("nonsense", put(OFFSETS, "nonsense\n", 9));
    say_offsets();
}

ROW(writing_takes_CAP_SYS_TIME_of_who_opened_the_file)
{
    int before, after;

    must("unshare", make() == 0);
    before = open(OFFSETS, O_WRONLY | O_CLOEXEC);
    drop(CAP_SYS_TIME_);
    after = open(OFFSETS, O_WRONLY | O_CLOEXEC);
    did("opened-before", write(before, "monotonic 1 0\n", 14));
    did("opened-after", write(after, "monotonic 2 0\n", 14));
    say_offsets();
}

ROW(writing_takes_no_CAP_SYS_ADMIN)
{
    must("unshare", make() == 0);
    drop(CAP_SYS_ADMIN_);
    did("write", put(OFFSETS, "monotonic 1 0\n", 14));
}

ROW(writing_from_a_child_user_namespace)
{
    int before;

    must("unshare", make() == 0);
    before = open(OFFSETS, O_WRONLY | O_CLOEXEC);
    become_privileged();
    did("write", put(OFFSETS, "monotonic 1 0\n", 14));
    did("opened-before", write(before, "monotonic 1 0\n", 14));
    say_offsets();
}

/* Another user's process. */
ROW_OF_ROOT(the_file_of_another_user)
{
    shared->number = child_after(unshare_quietly);
    pid_t pid = fork();
    if (pid == 0) {
        must("setgid", syscall(SYS_setgid, 65534) == 0);
        must("setuid", syscall(SYS_setuid, 65534) == 0);
        could("read", open(of(shared->number, "timens_offsets"), O_RDONLY | O_CLOEXEC));
        could("write", open(of(shared->number, "timens_offsets"), O_WRONLY | O_CLOEXEC));
        could("own-read", open(OFFSETS, O_RDONLY | O_CLOEXEC));
        could("own-write", open(OFFSETS, O_WRONLY | O_CLOEXEC));
        could("ns", open(of(shared->number, "ns/time"), O_RDONLY | O_CLOEXEC));
        could("readlink", readlink(of(shared->number, "ns/time"), (char[64]){ 0 }, 64));
        could("list", open(of(shared->number, "ns"), O_RDONLY | O_CLOEXEC));
        could("unshare", unshare(CLONE_NEWTIME));
        _exit(0);
    }
    wait_for(pid);
    end_of(shared->number);
}
