/* Installs a seccomp filter of its own, then reads the clock for the first time.
 *
 *   sandboxed allow       a filter that allows everything
 *   sandboxed nommap      mmap kills the process
 *   sandboxed trap        getppid raises SIGSYS and the handler answers it
 *   ... prctl             the same, installed through prctl(2) and not seccomp(2)
 *
 * Prints the reading through libc.
 */
#define _GNU_SOURCE
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

static volatile sig_atomic_t trapped;

static void on_sigsys(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)info;
    trapped++;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RAX] = 4242;
}

static int install(unsigned nr, unsigned action, int by_prctl)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, action),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { 4, code };

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return -1;
    if (by_prctl)
        return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "allow";
    int by_prctl = argc > 2 && !strcmp(argv[2], "prctl");
    struct sigaction action;
    struct timespec ts;
    char line[64];
    int length, failed;

    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_sigsys;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGSYS, &action, NULL);

    if (!strcmp(mode, "nommap"))
        failed = install(SYS_mmap, SECCOMP_RET_KILL_PROCESS, by_prctl);
    else if (!strcmp(mode, "trap"))
        failed = install(SYS_getppid, SECCOMP_RET_TRAP, by_prctl);
    else
        failed = install(~0U, SECCOMP_RET_ALLOW, by_prctl);
    if (failed) {
        perror("seccomp");
        return 2;
    }
    if (!strcmp(mode, "trap") && (syscall(SYS_getppid) != 4242 || trapped != 1))
        return 3;
    if (clock_gettime(CLOCK_REALTIME, &ts))
        return 4;
    length = snprintf(line, sizeof line, "%lld.%09ld\n", (long long)ts.tv_sec, ts.tv_nsec);
    return write(1, line, (size_t)length) != length;
}
