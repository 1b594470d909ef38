/* setns(2) (kernel/time/namespace.c: timens_install). */

#include <sys/prctl.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

/* A child in a new namespace with the offsets LATER, which then waits. */
static pid_t child_in_namespace(void)
{
    pid_t pid;

    make_with(LATER);
    pid = idle_child();
    return pid;
}

/* Another process that is in a new namespace; this one knows nothing of it. */
static void make_and_enter(void)
{
    make_with(LATER);
    must("setns", setns(opened(FOR_CHILDREN), CLONE_NEWTIME) == 0);
}

static pid_t stranger(void)
{
    return child_after(make_and_enter);
}

ROW(setns_takes_the_caller_and_its_children)
{
    pid_t other = stranger();

    could("setns", setns(opened(of(other, "ns/time")), CLONE_NEWTIME));
    look();
    in_child(look);
    say_offsets();
    end_of(other);
}

ROW(setns_with_no_type)
{
    pid_t other = stranger();

    could("setns", setns(opened(of(other, "ns/time")), 0));
    look();
    end_of(other);
}

ROW(setns_with_another_type)
{
    pid_t other = stranger();

    could("uts", setns(opened(of(other, "ns/time")), CLONE_NEWUTS));
    could("both", setns(opened(of(other, "ns/time")), CLONE_NEWTIME | CLONE_NEWUTS));
    could("file-of-uts", setns(opened("/proc/self/ns/uts"), CLONE_NEWTIME));
    say_where();
    end_of(other);
}

ROW(setns_back)
{
    int home = opened(OWN);
    pid_t other = stranger();

    could("setns", setns(opened(of(other, "ns/time")), CLONE_NEWTIME));
    look();
    could("back", setns(home, CLONE_NEWTIME));
    look();
    in_child(look);
    end_of(other);
}

ROW(setns_forth_and_back_fifty_times)
{
    int home = opened(OWN), away, wrong = 0;
    long long there = tenths(1000000300000000 - shared->offsets[0]);
    pid_t other = stranger();

    away = opened(of(other, "ns/time"));
    for (int n = 0; n < 50; n++) {
        wrong += setns(n % 2 ? home : away, CLONE_NEWTIME) != 0;
        long long moved = tenths(distance(CLOCK_MONOTONIC, VDSO) - shared->distance[CLOCK_MONOTONIC]);
        wrong += moved != (n % 2 ? 0 : there);
    }
    did("wrong", wrong);
    look();
    end_of(other);
}

ROW(setns_to_ones_own)
{
    could("setns", setns(opened(OWN), CLONE_NEWTIME));
    look();
}

ROW(setns_to_ones_own_drops_that_for_children)
{
    make_with(LATER);
    could("setns", setns(opened(OWN), CLONE_NEWTIME));
    look();
}

ROW(setns_to_that_for_children)
{
    make_with(LATER);
    enter_for_children();
    look();
    in_child(look);
}

ROW(setns_with_several_threads)
{
    pid_t other = stranger();

    idle_thread();
    could("setns", setns(opened(of(other, "ns/time")), CLONE_NEWTIME));
    could("own", setns(opened(OWN), CLONE_NEWTIME));
    look();
    end_of(other);
}

ROW(setns_after_the_other_thread_has_ended)
{
    pid_t other = stranger();

    in_thread(nothing);
    could("setns", setns(opened(of(other, "ns/time")), CLONE_NEWTIME));
    look();
    end_of(other);
}

ROW(setns_in_a_child_of_vfork)
{
    pid_t other = stranger(), pid;
    int fd = opened(of(other, "ns/time"));

    pid = vfork();
    if (pid == 0) {
        could("setns", setns(fd, CLONE_NEWTIME));
        _exit(0);
    }
    must("vfork", pid > 0);
    wait_for(pid);
    look();
    end_of(other);
}

ROW(setns_needs_CAP_SYS_ADMIN)
{
    pid_t other = stranger();
    int fd = opened(of(other, "ns/time"));

    drop(CAP_SYS_ADMIN_);
    could("setns", setns(fd, CLONE_NEWTIME));
    could("own", setns(opened(OWN), CLONE_NEWTIME));
    say_where();
    end_of(other);
}

ROW(setns_from_a_child_user_namespace)
{
    pid_t other = stranger();
    int fd = opened(of(other, "ns/time"));

    become_privileged();
    could("setns", setns(fd, CLONE_NEWTIME));
    could("own", setns(opened(OWN), CLONE_NEWTIME));
    say_where();
    end_of(other);
}

ROW(setns_with_wrong_descriptors)
{
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC), file = opened("/proc/self/stat");

    could("none", setns(-1, CLONE_NEWTIME));
    could("closed", setns(150, CLONE_NEWTIME));
    could("null", setns(null, CLONE_NEWTIME));
    could("null-any", setns(null, 0));
    could("stat", setns(file, CLONE_NEWTIME));
    could("path", setns(open(OWN, O_PATH | O_CLOEXEC), CLONE_NEWTIME));
    could("offsets", setns(opened(OFFSETS), CLONE_NEWTIME));
}

ROW(setns_by_a_pidfd)
{
    pid_t other = stranger();
    int fd = (int)syscall(SYS_pidfd_open, other, 0);

    could("no-type", setns(fd, 0));
    could("setns", setns(fd, CLONE_NEWTIME));
    look();
    end_of(other);
}

/* The process has a capability that this one lacks, or is another user's. */
ROW(setns_by_a_pidfd_takes_the_right_to_look_at_the_process)
{
    pid_t other = stranger();
    int fd = (int)syscall(SYS_pidfd_open, other, 0);

    drop(CAP_SYS_PTRACE_);
    could("setns", setns(fd, CLONE_NEWTIME));
    could("both", setns(fd, CLONE_NEWTIME | CLONE_NEWUTS));
    say_where();
    end_of(other);
}

ROW_OF_ROOT(setns_by_a_pidfd_of_another_users_process)
{
    pid_t other = stranger();
    int fd = (int)syscall(SYS_pidfd_open, other, 0);

    /* Still with the right to any namespace. */
    drop(CAP_SYS_PTRACE_);
    must("keep", prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0);
    must("setuid", syscall(SYS_setresuid, 65534, 65534, 65534) == 0);
    make_effective();
    could("setns", setns(fd, CLONE_NEWTIME));
    say_where();
    end_of(other);
}

ROW(setns_by_a_pidfd_with_other_types)
{
    pid_t other = stranger();
    int fd = (int)syscall(SYS_pidfd_open, other, 0);

    could("setns", setns(fd, CLONE_NEWTIME | CLONE_NEWUTS));
    look();
    end_of(other);
}

static ino_t uts_at_start;

static void remember_uts(void)
{
    uts_at_start = inode("/proc/self/ns/uts");
}

static void say_uts(void)
{
    say("uts %s", inode("/proc/self/ns/uts") == uts_at_start ? "own" : "entered");
}

static void make_and_enter_with_uts(void)
{
    must("unshare", unshare(CLONE_NEWUTS) == 0);
    make_and_enter();
}

ROW(setns_by_a_pidfd_is_to_all_namespaces)
{
    pid_t other = child_after(make_and_enter_with_uts);
    int fd = (int)syscall(SYS_pidfd_open, other, 0);

    remember_uts();
    could("setns", setns(fd, CLONE_NEWTIME | CLONE_NEWUTS));
    say_uts();
    look();
    could("again", setns(fd, CLONE_NEWTIME | CLONE_NEWUTS));
    end_of(other);
}

ROW(setns_by_a_pidfd_is_to_all_namespaces_or_none)
{
    pid_t other = child_after(make_and_enter_with_uts);
    int fd = (int)syscall(SYS_pidfd_open, other, 0);

    remember_uts();
    idle_thread();
    could("setns", setns(fd, CLONE_NEWTIME | CLONE_NEWUTS));
    say_uts();
    end_of(other);
}

static void become_another_user(void)
{
    must("user", unshare(CLONE_NEWUSER) == 0);
    make_and_enter_with_uts();
}

ROW(setns_by_a_pidfd_with_a_user_namespace)
{
    pid_t other = child_after(become_another_user);
    int fd = (int)syscall(SYS_pidfd_open, other, 0);

    remember_uts();
    could("setns", setns(fd, CLONE_NEWTIME | CLONE_NEWUTS | CLONE_NEWUSER));
    say_uts();
    look();
    end_of(other);
}

/* One that is this process's own in part: the time namespace is its parent's, and belongs to that. */
static void become_another_user_only(void)
{
    must("user", unshare(CLONE_NEWUSER) == 0);
}

ROW(setns_by_a_pidfd_to_ones_own_with_a_user_namespace)
{
    pid_t other = child_after(become_another_user_only);
    int fd = (int)syscall(SYS_pidfd_open, other, 0);

    could("setns", setns(fd, CLONE_NEWTIME | CLONE_NEWUSER));
    say_where();
    end_of(other);
}

ROW(setns_with_a_child_that_shares_memory)
{
    static char stack[65536] __attribute__((aligned(16)));
    pid_t other = stranger(), child;

    child = clone(pause_in_clone, stack + sizeof stack, CLONE_VM | SIGCHLD, NULL);
    must("clone", child > 0);
    could("setns", setns(opened(of(other, "ns/time")), CLONE_NEWTIME));
    end_of(child);
    could("alone", setns(opened(of(other, "ns/time")), CLONE_NEWTIME));
    end_of(other);
}

#ifdef __x86_64__
/* A call of two arguments; whether it has left them in their registers. */
static void keeps_its_arguments(long number, long first, long second)
{
    long one = first, other = second, result = number;

    __asm__ volatile("syscall" : "+a"(result), "+D"(one), "+S"(other) : : "rcx", "r11", "memory");
    errno = (int)-result;
    could("call", result < 0 ? -1 : 0);
    say("arguments %s", one == first && other == second ? "kept" : "changed");
}

ROW(calls_with_several_types_keep_their_arguments)
{
    pid_t other = child_after(make_and_enter_with_uts);
    int fd = (int)syscall(SYS_pidfd_open, other, 0);

    keeps_its_arguments(SYS_unshare, CLONE_NEWTIME | CLONE_NEWUTS, 7);
    keeps_its_arguments(SYS_unshare, CLONE_NEWTIME | 1, 7);
    keeps_its_arguments(SYS_unshare, 0x100000000 | CLONE_NEWTIME, 7);
    keeps_its_arguments(SYS_setns, fd, CLONE_NEWTIME | CLONE_NEWUTS);
    keeps_its_arguments(SYS_setns, fd, CLONE_NEWTIME | 1);
    end_of(other);
}
#endif

ROW(setns_by_a_pidfd_is_to_its_own_namespace)
{
    pid_t other = child_after(make_later);
    int fd = (int)syscall(SYS_pidfd_open, other, 0);

    say_where_is(other);
    could("setns", setns(fd, CLONE_NEWTIME));
    look();
    end_of(other);
}

ROW(setns_by_a_pidfd_of_a_process_that_is_gone)
{
    pid_t other = stranger();
    int fd = (int)syscall(SYS_pidfd_open, other, 0);

    end_of(other);
    could("setns", setns(fd, CLONE_NEWTIME));
    say_where();
}

ROW(setns_by_a_pidfd_with_several_threads)
{
    pid_t other = stranger();
    int fd = (int)syscall(SYS_pidfd_open, other, 0);

    idle_thread();
    could("setns", setns(fd, CLONE_NEWTIME));
    end_of(other);
}

/* _IO(0xFF, 7) and 8: PIDFD_GET_TIME_NAMESPACE and PIDFD_GET_TIME_FOR_CHILDREN_NAMESPACE. */
#include <sys/ioctl.h>

static void say_of_pidfd(const char *what, int fd, unsigned long request)
{
    int namespace = ioctl(fd, request, 0);
    struct stat status;

    if (namespace < 0 || fstat(namespace, &status))
        say("%s %s", what, errno_name(errno));
    else
        say("%s %s", what, name_of(status.st_ino));
}

ROW(a_pidfd_gives_the_namespaces)
{
    pid_t other = child_after(make_later);
    int fd = (int)syscall(SYS_pidfd_open, other, 0);

    say_of_pidfd("own", fd, 0xff07);
    say_of_pidfd("children", fd, 0xff08);
    end_of(other);
    say_of_pidfd("gone", fd, 0xff07);
}

ROW(setns_keeps_armed_timers)
{
    struct itimerspec hour = { { 0, 0 }, { 3600, 0 } }, left;
    struct timespec now;
    pid_t other = stranger();
    timer_t timer;
    int fd = (int)syscall(SYS_timerfd_create, CLOCK_MONOTONIC, O_CLOEXEC);

    must("timer", timer_create(CLOCK_MONOTONIC, &(struct sigevent){ .sigev_notify = SIGEV_NONE }, &timer) == 0);
    clock_gettime(CLOCK_MONOTONIC, &now);
    hour.it_value = now;
    hour.it_value.tv_sec += 3600;
    could("timer", timer_settime(timer, TIMER_ABSTIME, &hour, NULL));
    could("timerfd", syscall(SYS_timerfd_settime, fd, 1, &hour, NULL));
    could("setns", setns(opened(of(other, "ns/time")), CLONE_NEWTIME));
    timer_gettime(timer, &left);
    say("timer %s", left.it_value.tv_sec / 60 == 59 ? "in-an-hour" : "else");
    syscall(SYS_timerfd_gettime, fd, &left);
    say("timerfd %s", left.it_value.tv_sec / 60 == 59 ? "in-an-hour" : "else");
    end_of(other);
}

ROW(a_namespace_is_frozen_when_all_have_left)
{
    int home = opened(OWN), fd;

    make_with(LATER);
    fd = opened(FOR_CHILDREN);
    in_child(nothing);
    could("home", setns(home, CLONE_NEWTIME));
    could("again", setns(fd, CLONE_NEWTIME));
    look();
    did("write", put(OFFSETS, "monotonic 1 0\n", 14));
}
