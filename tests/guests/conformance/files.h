/* /proc/PID/ns/time and time_for_children (fs/nsfs.c, fs/proc/namespaces.c). */
#include <dirent.h>
#include <sys/mount.h>
#include <sys/vfs.h>

/* linux/nsfs.h, which musl does not bring. */
#define NSIO 0xb7
#define NS_GET_USERNS _IO(NSIO, 1)
#define NS_GET_PARENT _IO(NSIO, 2)
#define NS_GET_NSTYPE _IO(NSIO, 3)
#define NS_GET_OWNER_UID _IO(NSIO, 4)

/* Whether a link reads `time:[INODE]` of the file it leads to. */
static void say_link(const char *what, const char *path)
{
    char text[64] = "", expected[64];
    ssize_t length = readlink(path, text, sizeof text - 1);

    snprintf(expected, sizeof expected, "time:[%llu]", (unsigned long long)inode(path));
    if (length < 0)
        say("%s %s", what, errno_name(errno));
    else
        say("%s %s", what, strcmp(text, expected) ? "other" : "time:[inode]");
}

ROW(the_links_read_so)
{
    char text[8];

    say_link("own", OWN);
    say_link("children", FOR_CHILDREN);
    say_link("task", of_task("ns/time"));
    say_link("thread-self", "/proc/thread-self/ns/time");
    say_link("parent", of(getppid(), "ns/time"));
    make_with(LATER);
    say_link("children", FOR_CHILDREN);
    did("short", readlink(OWN, text, sizeof text));
    did("empty", syscall(SYS_readlink, OWN, text, 0));
}

ROW(the_first_namespace_has_this_number)
{
    char text[64] = "";

    readlink(OWN, text, sizeof text - 1);
    say("%s", text);
}

ROW(the_namespace_for_children_is_ones_own_at_first)
{
    look();
    in_child(look);
}

ROW(the_namespaces_are_listed)
{
    DIR *directory = opendir("/proc/self/ns");
    struct dirent *entry;

    must("opendir", directory != NULL);
    while ((entry = readdir(directory)))
        if (!strncmp(entry->d_name, "time", 4) || !strcmp(entry->d_name, "uts"))
            say("%s type %d", entry->d_name, entry->d_type);
}

ROW(the_links_look_like_this)
{
    struct stat status;

    must("lstat", lstat(OWN, &status) == 0);
    say("mode %o size %lld", status.st_mode, (long long)status.st_size);
    must("lstat", lstat(FOR_CHILDREN, &status) == 0);
    say("mode %o size %lld", status.st_mode, (long long)status.st_size);
}

ROW(the_files_look_like_this)
{
    struct stat status, other;
    struct statfs system;
    int fd = opened(OWN);

    must("stat", stat(OWN, &status) == 0 && stat("/proc/self/ns/uts", &other) == 0);
    say("mode %o size %lld", status.st_mode, (long long)status.st_size);
    say("device %s", status.st_dev == other.st_dev ? "nsfs" : "other");
    must("fstat", fstat(fd, &other) == 0);
    say("fstat %s", other.st_ino == status.st_ino && other.st_dev == status.st_dev ? "same" : "different");
    must("fstatfs", fstatfs(fd, &system) == 0);
    say("magic %lx", (unsigned long)system.f_type);
    say("stat-children %s", inode(FOR_CHILDREN) == status.st_ino ? "same" : "different");
}

ROW(the_files_look_like_this_by_statx)
{
    struct stat status;
    struct statx extended;
    int directory = opened("/proc/self/ns");

    must("stat", stat(OWN, &status) == 0);
    must("statx", statx(AT_FDCWD, OWN, AT_NO_AUTOMOUNT, STATX_BASIC_STATS, &extended) == 0);
    say("mask %x links %u mode %o size %lld", extended.stx_mask & STATX_BASIC_STATS, extended.stx_nlink,
        extended.stx_mode, (long long)extended.stx_size);
    say("number %s", extended.stx_ino == status.st_ino ? "same" : "other");
    say("device %s", makedev(extended.stx_dev_major, extended.stx_dev_minor) == status.st_dev ? "same" : "other");
    must("statx", statx(directory, "time_for_children", AT_STATX_DONT_SYNC, STATX_INO, &extended) == 0);
    say("children %s", extended.stx_ino == status.st_ino ? "same" : "other");
    could("flags", statx(AT_FDCWD, OWN, 1, STATX_INO, &extended));
    could("flags of fstatat", fstatat(AT_FDCWD, OWN, &status, 1));
    could("sync", statx(AT_FDCWD, OWN, AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC, STATX_INO, &extended));
    could("mask", statx(AT_FDCWD, OWN, 0, 1u << 31, &extended));
    could("address", statx(AT_FDCWD, OWN, 0, STATX_INO, (struct statx *)8));
    could("nobody", statx(AT_FDCWD, "/proc/0/ns/time", 0, STATX_INO, &extended));
}

ROW(statx_tells_namespaces_apart)
{
    struct statx extended;

    must("unshare", make() == 0);
    must("statx", statx(AT_FDCWD, OWN, 0, STATX_INO, &extended) == 0);
    say("own %s", name_of(extended.stx_ino));
    must("statx", statx(AT_FDCWD, FOR_CHILDREN, 0, STATX_INO, &extended) == 0);
    say("children %s", name_of(extended.stx_ino));
    /* The guest backend patches a call site that is used as often as this. */
    for (int n = 0; n < 60; n++) {
        memset(&extended, 0, sizeof extended);
        must("statx", statx(AT_FDCWD, n % 2 ? FOR_CHILDREN : OWN, 0, STATX_INO, &extended) == 0);
        must("a number", extended.stx_ino == (n % 2 ? shared->made : shared->old));
        must("statx", statx(AT_FDCWD, "/proc", 0, STATX_INO, &extended) == 0 && extended.stx_ino == 1);
    }
    could("none", statx(AT_FDCWD, "/proc/0/ns/time", 0, STATX_INO, &extended));
    could("address", statx(AT_FDCWD, OWN, 0, STATX_INO, (struct statx *)8));
}

ROW(the_files_open_in_these_ways)
{
    int directory = open("/proc/self/ns", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    could("read", open(OWN, O_RDONLY | O_CLOEXEC));
    could("write", open(OWN, O_WRONLY | O_CLOEXEC));
    could("both", open(OWN, O_RDWR | O_CLOEXEC));
    could("truncate", open(OWN, O_RDONLY | O_TRUNC | O_CLOEXEC));
    could("path", open(OWN, O_PATH | O_CLOEXEC));
    could("no-follow", open(OWN, O_RDONLY | O_NOFOLLOW | O_CLOEXEC) < 0 && errno == ELOOP ? 0 : -1);
    could("link-itself", open(OWN, O_PATH | O_NOFOLLOW | O_CLOEXEC));
    could("at", openat(directory, "time", O_RDONLY | O_CLOEXEC));
    could("children-at", openat(directory, "time_for_children", O_RDONLY | O_CLOEXEC));
    must("chdir", chdir("/proc/self/ns") == 0);
    could("relative", open("time", O_RDONLY | O_CLOEXEC));
    could("none", open("/proc/self/ns/time_for_nobody", O_RDONLY | O_CLOEXEC));
    could("access", access(OWN, R_OK));
    could("access-write", access(OWN, W_OK));
    could("unlink", unlink(OWN));
}

ROW(a_descriptor_has_the_name_of_its_namespace)
{
    char path[64];
    int fd = opened(OWN);

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    say_link("fd", path);
    could("open-again", open(path, O_RDONLY | O_CLOEXEC));
    fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    say_link("dup", path);
}

ROW(a_file_of_a_namespace_cannot_be_read_or_written)
{
    char byte;
    int fd = opened(OWN);

    did("read", read(fd, &byte, 1));
    did("write", write(fd, "x", 1));
    could("mmap", mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED ? -1 : 0);
    did("flags", fcntl(fd, F_GETFL) & O_ACCMODE);
}

ROW(namespaces_have_numbers_that_compare)
{
    ino_t first, second;
    pid_t one, two;

    one = child_after(make_later);
    two = child_after(make_later);
    first = inode(of(one, "ns/time_for_children"));
    second = inode(of(two, "ns/time_for_children"));
    say("children %s", first == second ? "same" : "different");
    say("own %s", inode(of(one, "ns/time")) == inode(of(two, "ns/time")) ? "same" : "different");
    say("again %s", first == inode(of(one, "ns/time_for_children")) ? "same" : "different");
    say("first %s", first == shared->old || second == shared->old ? "same" : "different");
}

ROW(a_parent_sees_where_its_child_is)
{
    pid_t child = child_in_namespace();

    say_where_is(child);
    say_where();
    end_of(child);
}

static void look_at_the_parent(void)
{
    say_where_is(getppid());
}

ROW(a_child_sees_where_its_parent_is)
{
    make_with(LATER);
    in_child(look_at_the_parent);
}

ROW(the_files_of_a_zombie)
{
    pid_t child = child_in_namespace();
    siginfo_t info;

    kill(child, SIGKILL);
    must("waitid", waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT) == 0);
    could("readlink", readlink(of(child, "ns/time"), (char[64]){ 0 }, 64));
    could("open", open(of(child, "ns/time"), O_RDONLY | O_CLOEXEC));
    could("children", open(of(child, "ns/time_for_children"), O_RDONLY | O_CLOEXEC));
    waitpid(child, NULL, 0);
    could("gone", open(of(child, "ns/time"), O_RDONLY | O_CLOEXEC));
}

static void ask(const char *what, int fd, unsigned long request)
{
    int result = ioctl(fd, request);

    say("%s %s", what, result < 0 ? errno_name(errno) : "ok");
}

ROW(what_ioctls_tell)
{
    int fd = opened(OWN), user;
    unsigned owner;
    struct stat one, two;

    say("type %#x", (unsigned)ioctl(fd, NS_GET_NSTYPE));
    user = ioctl(fd, NS_GET_USERNS);
    could("user", user);
    could("parent", ioctl(fd, NS_GET_PARENT));
    could("owner", ioctl(fd, NS_GET_OWNER_UID, &owner));
    could("unknown", ioctl(fd, _IO(NSIO, 0x7f)));
    ask("tcgets", fd, 0x5401);
    if (user >= 0) {
        say("type-of-user %#x", (unsigned)ioctl(user, NS_GET_NSTYPE));
        must("stat", fstat(user, &one) == 0 && stat("/proc/self/ns/user", &two) == 0);
    }
}

ROW(what_ioctls_tell_of_a_new_one)
{
    struct stat one, two;
    int fd, user;

    must("unshare", make() == 0);
    fd = opened(FOR_CHILDREN);
    say("type %#x", (unsigned)ioctl(fd, NS_GET_NSTYPE));
    user = ioctl(fd, NS_GET_USERNS);
    must("user", user >= 0 && fstat(user, &one) == 0 && stat("/proc/self/ns/user", &two) == 0);
    say("user %s", one.st_ino == two.st_ino && one.st_dev == two.st_dev ? "own" : "other");
    could("parent", ioctl(fd, NS_GET_PARENT));
    could("owner", ioctl(fd, NS_GET_OWNER_UID, &(unsigned){ 0 }));
}

ROW(the_owner_of_one_made_in_a_user_namespace)
{
    struct stat one, two;
    int fd, user;

    must("stat", stat("/proc/self/ns/user", &two) == 0);
    become_privileged();
    must("unshare", make() == 0);
    fd = opened(FOR_CHILDREN);
    user = ioctl(fd, NS_GET_USERNS);
    must("user", user >= 0 && fstat(user, &one) == 0);
    say("user %s", one.st_ino == two.st_ino ? "old" : "new");
    fd = opened(OWN);
    user = ioctl(fd, NS_GET_USERNS);
    could("user-of-own", user);
}

static void enter_by(int fd)
{
    could("setns", setns(fd, CLONE_NEWTIME));
    look();
    did("write", put(OFFSETS, "monotonic 1 0\n", 14));
}

ROW(a_descriptor_keeps_a_namespace)
{
    pid_t other = stranger();
    int fd = opened(of(other, "ns/time"));
    struct stat status;

    end_of(other);
    must("fstat", fstat(fd, &status) == 0);
    say("fstat %s", name_of(status.st_ino));
    enter_by(fd);
}

ROW(a_descriptor_keeps_a_namespace_that_nobody_was_in)
{
    pid_t other = child_after(make_later);
    int fd = opened(of(other, "ns/time_for_children"));

    end_of(other);
    enter_by(fd);
}

/* A directory in a mount namespace of one's own, which goes away with it. */
static void private_directory(void)
{
    must("unshare", unshare(CLONE_NEWNS) == 0);
    must("private", mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
    must("tmpfs", mount("row", "/tmp", "tmpfs", 0, NULL) == 0);
    must("chdir", chdir("/tmp") == 0);
}

ROW(a_mount_keeps_a_namespace)
{
    pid_t other = stranger();
    struct stat status;

    private_directory();
    close(open("kept", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    could("mount", mount(of(other, "ns/time"), "kept", NULL, MS_BIND, NULL));
    end_of(other);
    must("stat", stat("kept", &status) == 0);
    say("stat %s", name_of(status.st_ino));
    enter_by(opened("kept"));
    could("umount", umount("kept"));
    must("stat", stat("kept", &status) == 0);
    say("size %lld", (long long)status.st_size);
}

ROW(a_mount_keeps_a_namespace_that_nobody_was_in)
{
    private_directory();
    close(open("kept", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    make_with(LATER);
    could("mount", mount(FOR_CHILDREN, "kept", NULL, MS_BIND, NULL));
    could("setns", setns(opened(OWN), CLONE_NEWTIME));
    enter_by(opened("kept"));
    could("umount", umount2("kept", MNT_DETACH));
}

ROW(a_descriptor_is_sent_to_another_process)
{
    int pair[2];
    pid_t other;

    must("pipe", pipe(pair) == 0);
    make_with(LATER);
    shared->number = opened(FOR_CHILDREN);
    must("setns", setns(opened(OWN), CLONE_NEWTIME) == 0);
    other = fork();
    if (other == 0) {
        enter_by(shared->number);
        _exit(0);
    }
    wait_for(other);
}

ROW(a_descriptor_survives_an_exec)
{
    make_with(LATER);
    shared->number = open(FOR_CHILDREN, O_RDONLY);
    must("setns", setns(opened(OWN), CLONE_NEWTIME) == 0);
    become("enter");
}
