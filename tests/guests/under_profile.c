// Becomes a program under a filter, as a container's first process does, with an adopter of its own:
//   under_profile ELSEWHEN FILTER ORDER COMMAND [ARG...]
// FILTER is a file with the program, ORDER what `elsewhen adopt` is told.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void fail(const char *what)
{
	fprintf(stderr, "under_profile: %s: %s\n", what, strerror(errno));
	exit(125);
}

// The adopter is nobody's child here, so that COMMAND meets no child that it has not made.
static void start_adopter(const char *elsewhen, int socket)
{
	pid_t child = fork();
	if (child < 0)
		fail("fork");
	if (child == 0) {
		if (fork() == 0) {
			setsid();
			dup2(socket, 0);
			dup2(2, 1);
			execl(elsewhen, elsewhen, "adopt", (char *)NULL);
			fail(elsewhen);
		}
		_exit(0);
	}
	waitpid(child, NULL, 0);
}

static void hand_over(int socket, const char *order, int listener)
{
	union { struct cmsghdr head; char space[CMSG_SPACE(sizeof(int))]; } control = {
		.head = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS },
	};
	struct iovec part = { (void *)order, strlen(order) };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof(control.space) };
	memcpy(CMSG_DATA(&control.head), &listener, sizeof(listener));
	if (sendmsg(socket, &message, 0) < 0)
		fail("sendmsg");
}

int main(int argc, char **argv)
{
	static struct sock_filter program[4096];
	int sockets[2];
	char ready;

	if (argc < 5)
		return 125;
	int file = open(argv[2], O_RDONLY | O_CLOEXEC);
	ssize_t size = read(file, program, sizeof(program));
	if (size <= 0)
		fail(argv[2]);
	struct sock_fprog all = { size / sizeof(*program), program };
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets))
		fail("socketpair");
	start_adopter(argv[1], sockets[1]);
	close(file);
	close(sockets[1]);
	if (geteuid() != 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		fail("prctl");
	// As runc has it, without SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV.
	int listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
			       SECCOMP_FILTER_FLAG_NEW_LISTENER, &all);
	if (listener < 0)
		fail("seccomp");
	hand_over(sockets[0], argv[3], listener);
	close(listener);
	if (read(sockets[0], &ready, 1) != 1)
		exit(125);
	close(sockets[0]);
	execvp(argv[4], argv + 4);
	fail(argv[4]);
}
