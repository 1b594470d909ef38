/* The life of a namespace: who makes it, who enters it and when (kernel/time/namespace.c,
 * kernel/nsproxy.c: copy_namespaces, exec_task_namespaces).
 */
#include <pthread.h>
#include <spawn.h>

extern char **environ;

ROW(unshare_leaves_the_caller_where_it_is)
{
    could("unshare", make());
    look();
    say_offsets();
}

ROW(unshare_needs_CAP_SYS_ADMIN)
{
    drop(CAP_SYS_ADMIN_);
    could("unshare", make());
    say_where();
}

ROW(unshare_with_other_namespaces)
{
    could("uts", unshare(CLONE_NEWTIME | CLONE_NEWUTS));
    could("files", unshare(CLONE_NEWTIME | CLONE_FILES));
    could("user", unshare(CLONE_NEWTIME | CLONE_NEWUSER));
    could("again", unshare(CLONE_NEWTIME));
    shared->made = inode(FOR_CHILDREN);
    say_where();
}

ROW(unshare_with_wrong_flags)
{
    could("signal", unshare(CLONE_NEWTIME | 1));
    could("clear", unshare(CLONE_NEWTIME | (int)0x80000000));
    say_where();
}

ROW(unshare_twice_inherits_the_offsets)
{
    ino_t first;

    make_with("monotonic 500 0\nboottime 600 0\n");
    first = shared->made;
    could("unshare", make());
    say("namespace %s", first == shared->made ? "same" : "different");
    say_offsets();
    did("write", put(OFFSETS, "monotonic 700 0\n", 16));
    say_offsets();
    in_child(look);
}

static void sleep_a_while(void *from)
{
    (void)from;
    pause();
}

static void *thread_of(void *action)
{
    ((void (*)(void))action)();
    return NULL;
}

static void in_thread(void (*action)(void))
{
    pthread_t thread;

    must("thread", pthread_create(&thread, NULL, thread_of, (void *)action) == 0);
    pthread_join(thread, NULL);
}

static void pause_for_ever(void)
{
    sleep_a_while(NULL);
}

static void idle_thread(void)
{
    pthread_t thread;

    must("thread", pthread_create(&thread, NULL, thread_of, (void *)pause_for_ever) == 0);
}

ROW(unshare_with_several_threads)
{
    idle_thread();
    could("unshare", make());
    say_where();
    in_thread(say_where);
    did("write", put(OFFSETS, LATER, strlen(LATER)));
    in_child(look);
}

static void make_and_look(void)
{
    could("unshare", make());
    say_where();
}

ROW(unshare_by_a_thread_is_for_that_thread)
{
    in_thread(make_and_look);
    say_where();
    in_child(say_where);
}

ROW(a_child_of_fork_enters)
{
    make_with(LATER);
    in_child(look);
    look();
}

ROW(a_child_of_fork_keeps_to_it)
{
    make_with(LATER);
    in_child(look);
    in_child(look);
    say_where();
}

static void fork_once_more(void)
{
    in_child(look);
}

ROW(a_grandchild_is_in_the_same)
{
    make_with(LATER);
    in_child(fork_once_more);
}

static long clone_with(unsigned long flags)
{
    return syscall(SYS_clone, flags, NULL, NULL, NULL, NULL);
}

/* Whether a change of directory here is one of its parent too. */
static void share_directory(void)
{
    pid_t pid = clone_with(CLONE_FS | SIGCHLD);

    if (pid == 0) {
        drop(CAP_SYS_ADMIN_);
        could("unshare", unshare(CLONE_NEWTIME | CLONE_FS));
        must("chdir", chdir("/proc") == 0);
        _exit(0);
    }
    wait_for(pid);
}

ROW(unshare_is_of_all_or_nothing)
{
    struct stat status;

    must("chdir", chdir("/") == 0);
    share_directory();
    must("stat", stat("self", &status) == 0 || errno == ENOENT);
    say("directory %s", stat("self", &status) ? "own" : "shared");
}

ROW(a_child_of_clone_enters)
{
    long pid;

    make_with(LATER);
    pid = clone_with(SIGCHLD | CLONE_FILES | CLONE_FS);
    must("clone", pid >= 0);
    if (pid == 0) {
        look();
        _exit(0);
    }
    wait_for((pid_t)pid);
}

ROW(a_child_of_vfork_stays)
{
    pid_t pid;

    make_with(LATER);
    pid = vfork();
    if (pid == 0) {
        look();
        _exit(0);
    }
    must("vfork", pid > 0);
    wait_for(pid);
    did("write", put(OFFSETS, "monotonic 1 0\n", 14));
}

ROW(a_child_of_vfork_enters_at_its_exec)
{
    pid_t pid;

    make_with(LATER);
    pid = vfork();
    if (pid == 0) {
        look();
        become("look");
    }
    must("vfork", pid > 0);
    wait_for(pid);
    look();
}

ROW(a_child_of_posix_spawn_enters)
{
    char *const words[] = { "conformance", "then", "look", NULL };
    pid_t pid;
    int error;

    make_with(LATER);
    error = posix_spawn(&pid, "/proc/self/exe", NULL, NULL, words, environ);
    errno = error;
    could_make("spawn", error ? -1 : pid);
    look();
}

static int look_in_clone(void *from)
{
    (void)from;
    look();
    return 0;
}

ROW(a_child_that_shares_memory_stays)
{
    static char stack[65536] __attribute__((aligned(16)));
    int pid;

    make_with(LATER);
    pid = clone(look_in_clone, stack + sizeof stack, CLONE_VM | SIGCHLD, NULL);
    could_make("clone", pid);
    did("write", put(OFFSETS, "monotonic 1 0\n", 14));
}

static int pause_in_clone(void *from)
{
    sleep_a_while(from);
    return 0;
}

ROW(not_frozen_by_a_child_that_shares_memory)
{
    static char stack[65536] __attribute__((aligned(16)));
    pid_t child;

    make_with(LATER);
    child = clone(pause_in_clone, stack + sizeof stack, CLONE_VM | SIGCHLD, NULL);
    must("clone", child > 0);
    did("write", put(OFFSETS, "monotonic 1 0\n", 14));
    end_of(child);
}

ROW(a_thread_stays)
{
    make_with(LATER);
    in_thread(look);
    did("write", put(OFFSETS, "monotonic 1 0\n", 14));
}

static void fork_and_look(void)
{
    in_child(look);
}

ROW(a_child_that_a_thread_forks_enters)
{
    make_with(LATER);
    in_thread(fork_and_look);
}

ROW(an_own_exec_enters)
{
    make_with(LATER);
    become("look");
}

ROW(an_own_exec_in_a_namespace_of_its_own_changes_nothing)
{
    make_with(LATER);
    in_child(look);
    shared->number = fork();
    if (shared->number == 0)
        become("look");
    wait_for(shared->number);
}

static void become_a_looker(void)
{
    become("look");
}

ROW(an_exec_by_a_thread_enters)
{
    make_with(LATER);
    in_thread(become_a_looker);
}

ROW(an_exec_with_other_threads_enters)
{
    make_with(LATER);
    idle_thread();
    become("look");
}

/* clone3(2) by its number, with these flags only. */
static long clone3_with(unsigned long long flags)
{
    unsigned long long args[11] = { flags };

    args[4] = flags & CLONE_THREAD ? 0 : SIGCHLD;
    return syscall(SYS_clone3, args, 88);
}

static void clone3_and(void (*action)(void))
{
    long pid = clone3_with(CLONE_NEWTIME);

    if (pid == 0) {
        action();
        _exit(0);
    }
    could_make("clone3", pid);
}

static void look_and_write(void)
{
    look();
    say_offsets();
    did("write", put(OFFSETS, "monotonic 1 0\n", 14));
}

ROW(a_child_of_clone3_is_in_a_new_one)
{
    clone3_and(look_and_write);
    say_where();
}

ROW(a_child_of_clone3_inherits_the_offsets)
{
    make_with(LATER);
    clone3_and(look_and_write);
    did("write", put(OFFSETS, "monotonic 1 0\n", 14));
    say_where();
}

ROW(clone3_needs_CAP_SYS_ADMIN)
{
    drop(CAP_SYS_ADMIN_);
    clone3_and(look);
}

ROW(clone3_with_a_user_namespace)
{
    long pid;

    drop(CAP_SYS_ADMIN_);
    pid = clone3_with(CLONE_NEWTIME | CLONE_NEWUSER);
    if (pid == 0) {
        say_where();
        _exit(0);
    }
    could_make("clone3", pid);
}

/* A child that ends at once. It may be on this very stack, so it touches none. */
static void clone3_for_nothing(const char *what, unsigned long long flags)
{
    unsigned long long args[11] = { flags };
    long pid;

    args[4] = SIGCHLD;
    __asm__ volatile("syscall\n"
                     "test %%rax, %%rax\n"
                     "jnz 1f\n"
                     "xor %%edi, %%edi\n"
                     "mov %[exit], %%eax\n"
                     "syscall\n"
                     "1:"
                     : "=a"(pid)
                     : "0"(SYS_clone3), "D"(args), "S"(88L), [exit] "i"(SYS_exit_group)
                     : "rcx", "r11", "memory", "cc");
    errno = (int)-pid;
    could_make(what, pid < 0 ? -1 : pid);
}

ROW(clone3_with_shared_memory)
{
    clone3_for_nothing("vfork", CLONE_NEWTIME | CLONE_VM | CLONE_VFORK);
    clone3_for_nothing("signal", CLONE_NEWTIME | 1);
}

ROW(the_bit_is_a_signal_in_clone)
{
    long pid = clone_with(CLONE_NEWTIME);

    if (pid == 0) {
        say_where();
        _exit(0);
    }
    could_make("clone", pid);
}

static void make_another(void)
{
    make_with("monotonic 700 0\n");
    in_child(look);
}

ROW(nested_offsets_are_absolute)
{
    make_with("monotonic 500 0\nboottime 500 0\n");
    in_child(make_another);
}

static void make_back(void)
{
    make_with("monotonic 0 0\nboottime 0 0\n");
    in_child(look);
}

ROW(an_inner_namespace_can_have_the_hosts_clocks)
{
    make_with(LATER);
    in_child(make_back);
}

static void nest(int depth)
{
    char text[64];

    snprintf(text, sizeof text, "monotonic %d 0\n", 1000 * depth);
    make_with(text);
    pid_t pid = fork();
    must("fork", pid >= 0);
    if (pid == 0) {
        if (depth < 40)
            nest(depth + 1);
        else
            look();
        _exit(0);
    }
    wait_for(pid);
}

ROW(namespaces_nest_forty_deep)
{
    nest(1);
}

ROW(a_process_may_make_a_hundred)
{
    int made = 0;

    while (made < 100 && unshare(CLONE_NEWTIME) == 0)
        made++;
    did("made", made);
}

ROW(a_vfork_in_a_namespace_of_ones_own)
{
    pid_t pid;

    make_with(LATER);
    enter_for_children();
    pid = vfork();
    if (pid == 0) {
        look();
        become("look");
    }
    must("vfork", pid > 0);
    wait_for(pid);
}
