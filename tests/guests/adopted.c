/* Puts itself under a filter as a container runtime does, with the rules of a profile for a few calls,
 * hands the listener over by a socket and becomes another program.
 *
 *   adopted SOCKET PROGRAM [ARG...]      executes PROGRAM under the filter
 *   adopted SOCKET                       waits for a signal, and makes no call that is notified
 *   adopted - check AHEAD ROUNDS         as PROGRAM: reads, sleeps and executes itself, for ROUNDS rounds
 *                                        of a few milliseconds; CLOCK_REALTIME has to lie at or behind
 *                                        AHEAD seconds since 1970
 *   adopted - sleep MILLISECONDS         as PROGRAM: sleeps till an absolute time; prints when it ended
 */
#include "timed.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

/* "elsewhen": what the image's own calls carry, and of a converted call the high half plus its number. */
#define COOKIE_HIGH 0x656c7365u
#define COOKIE_LOW 0x7768656eu

#define LOW(n) (offsetof(struct seccomp_data, args) + 8 * (n))
#define HIGH(n) (LOW(n) + 4)
#define LOAD(at) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (at))
#define IS(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), (yes), (no))
#define RETURN(what) BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_##what)

static int install(void)
{
    struct sock_filter code[] = {
        LOAD(offsetof(struct seccomp_data, arch)),
        IS(AUDIT_ARCH_X86_64, 1, 0),
        RETURN(ALLOW),
        LOAD(offsetof(struct seccomp_data, nr)),
        IS(SYS_brk, 0, 5),
        LOAD(LOW(0)), IS(0, 0, 2), LOAD(HIGH(0)), IS(0, 26, 0), RETURN(ALLOW),
        IS(SYS_arch_prctl, 0, 3),
        LOAD(LOW(0)), IS(0x1002, 22, 0), RETURN(ALLOW),
        IS(SYS_clock_gettime, 0, 6),
        LOAD(LOW(5)), IS(COOKIE_LOW, 0, 2), LOAD(HIGH(5)), IS(COOKIE_HIGH, 15, 0),
        LOAD(LOW(0)), IS(CLOCK_REALTIME, 14, 13),
        IS(SYS_gettimeofday, 1, 0),
        IS(SYS_time, 0, 4),
        LOAD(LOW(5)), IS(COOKIE_LOW, 0, 10), LOAD(HIGH(5)), IS(COOKIE_HIGH, 7, 8),
        IS(SYS_clock_nanosleep, 0, 6),
        LOAD(LOW(1)), BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, TIMER_ABSTIME, 0, 4),
        LOAD(HIGH(5)), IS(COOKIE_HIGH + SYS_clock_nanosleep, 2, 0),
        LOAD(LOW(0)), IS(CLOCK_REALTIME, 1, 0),
        RETURN(ALLOW),
        RETURN(USER_NOTIF),
    };
    struct sock_fprog program = { sizeof code / sizeof code[0], code };

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return -1;
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
                        &program);
}

static int hand_over(const char *path)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    char byte = '!', control[CMSG_SPACE(sizeof(int))] = { 0 };
    struct iovec part = { &byte, 1 };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1,
                              .msg_control = control, .msg_controllen = sizeof control };
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    int socket_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), listener;

    strncpy(to.sun_path, path, sizeof to.sun_path - 1);
    if (connect(socket_fd, (struct sockaddr *)&to, sizeof to))
        return -1;
    listener = install();
    if (listener < 0)
        return -1;
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &listener, sizeof listener);
    if (sendmsg(socket_fd, &message, 0) != 1)
        return -1;
    return close(listener);
}

static int fail(const char *what)
{
    printf("%s\n", what);
    return 1;
}

/* All but the last round end by fork and exec of this program. */
static int check(char **argv)
{
    long long ahead = atoll(argv[3]);
    int rounds = atoi(argv[4]), status;
    struct timespec deadline;
    char left[16];
    pid_t child;

    if (now(CLOCK_REALTIME) < ahead * SECOND)
        return fail("the vDSO has the host's time");
    if (call(SYS_clock_gettime, CLOCK_REALTIME, (long)&deadline, 0, 0, 0, 0))
        return fail("clock_gettime failed");
    if (deadline.tv_sec < ahead)
        return fail("a system call has the host's time");
    if (time(NULL) < ahead || call(SYS_time, 0, 0, 0, 0, 0, 0) < ahead)
        return fail("time has the host's time");
    for (int i = 0; i < 5; i++) {
        deadline = at(now(CLOCK_REALTIME) + MILLISECOND);
        if ((status = clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &deadline, NULL))) {
            printf("a sleep failed: %s\n", strerror(status));
            return 1;
        }
        if (!is_over(CLOCK_REALTIME, &deadline))
            return fail("a sleep ended at another time");
    }
    if (rounds <= 1)
        return 0;
    snprintf(left, sizeof left, "%d", rounds - 1);
    child = fork();
    if (child == 0) {
        if (now(CLOCK_REALTIME) < ahead * SECOND)
            return fail("a forked child has the host's time");
        _exit(0);
    }
    if (waitpid(child, &status, 0) != child || status)
        return fail("a child failed");
    execl("/proc/self/exe", argv[0], "-", "check", argv[3], left, NULL);
    return fail("exec failed");
}

int main(int argc, char **argv)
{
    struct timespec deadline;

    if (argc == 5 && !strcmp(argv[2], "check"))
        return check(argv);
    if (argc == 4 && !strcmp(argv[2], "sleep")) {
        deadline = at(now(CLOCK_REALTIME) + atoll(argv[3]) * MILLISECOND);
        if (clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &deadline, NULL))
            return fail("a sleep failed");
        printf("%s\n", when(CLOCK_REALTIME, deadline.tv_sec * SECOND + deadline.tv_nsec));
        return 0;
    }
    if (argc < 2)
        return 2;
    if (hand_over(argv[1])) {
        perror("adopted");
        return 2;
    }
    if (argc == 2)
        return pause();
    execvp(argv[2], argv + 2);
    return 127;
}
