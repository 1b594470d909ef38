/* Calls through `syscall` instructions of its own, which somebody outside patches meanwhile.
 *
 * A system call with a number of 1024 or more is notified; if it is answered by -4095, the site is
 * gone through again. A site that has been patched leads to the gate here, which makes the call.
 * Around each call all registers, the flags and the red zone are compared.
 *
 * It prints where all is, does as many rounds as each line of its input asks for, and says how many
 * calls were made, how many went through the gate, and how many were wrong.
 */
#define _GNU_SOURCE
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define REGISTERS 12
#define RED_ZONE 15

/* What call_site() works on; the assembly knows the places. */
struct thread {
	uint64_t gated;			/* 0 */
	uint64_t number;		/* 8: in the gate */
	uint64_t gate_rcx;		/* 16: in the gate */
	uint64_t rcx;			/* 24: behind the call */
	uint64_t rax;			/* 32 */
	uint64_t flags;			/* 40 */
	uint64_t registers[REGISTERS];	/* 48 */
	uint64_t red_zone[RED_ZONE];	/* 144 */
	uint64_t gate_flags;		/* 264 */
};

void call_site(struct thread *thread, const void *site);

asm(".macro around\n"
    /* Instructions of all lengths that change nothing: what compilers put before a call. */
    "	.rept 4\n"
    "	mov %rdi, %rdi\n"
    "	lea (%rsi), %rsi\n"
    "	nopl 8(%rax,%rax)\n"
    "	xchg %rdx, %rdx\n"
    "	mov $0x12345678, %r11d\n"
    "	.endr\n"
    ".endm\n"
    /* A site at `at` in its page: the number is set last. */
    ".macro numbered name, at, number\n"
    "	.p2align 12, 0x90\n"
    "	.skip \\at - 96, 0x90\n"
    "	.globl \\name\n"
    "\\name:\n"
    "	around\n"
    "	.skip \\name + 96 - ., 0x90\n"
    "1:	mov $\\number, %eax\n"
    "	syscall\n"
    "	.globl \\name\\()_after\n"
    "\\name\\()_after:\n"
    "	mov %rcx, 24(%r15)\n"
    "	lea 4095(%rax), %rcx\n"
    "	jrcxz 1b\n"
    "	ret\n"
    ".endm\n"
    /* As syscall(3) in libc: the sixth argument is loaded last, and there is no number. */
    ".macro moved name, at, number\n"
    "	.p2align 12, 0x90\n"
    "	.skip \\at - 96, 0x90\n"
    "	.globl \\name\n"
    "\\name:\n"
    "	around\n"
    "	.skip \\name + 91 - ., 0x90\n"
    "	mov $\\number, %eax\n"
    "	mov 8(%rsp), %r9\n"
    "	syscall\n"
    "	.globl \\name\\()_after\n"
    "\\name\\()_after:\n"
    "	mov %rcx, 24(%r15)\n"
    "	ret\n"
    ".endm\n"
    "	.text\n"
    /* More than 16 MiB before the end of the text: every byte of the distance changes. */
    "	numbered far, 200, 39\n"
    "	.skip 17 << 20, 0x90\n"
    /* In one line; the opcode in another; the number cut in two; its last byte alone; two pages. */
    "	numbered plain, 205, 186\n"
    "	numbered opcode, 255, 283\n"
    "	numbered cut, 189, 334\n"
    "	numbered last, 252, 110\n"
    "	numbered pages, 4093, 324\n"
    "	numbered call, 251, 39\n"
    "	moved word, 256, 449\n"
    "	moved libc, 258, 39\n"
    "	moved end, 323, 186\n"
    /* Never exchanged: in two words. */
    "	moved torn, 260, 39\n"
    /* What is to be left alone. */
    "	.p2align 12, 0x90\n"
    "	.globl bridge_after, false_after, entered_after\n"
    "	around\n"
    "	mov %r11, 8(%rsp)\n"
    "	syscall\n"
    "bridge_after:\n"
    "	ret\n"
    "	around\n"
    "	movl $39, -0x48(%rsp)\n"
    "	syscall\n"
    "false_after:\n"
    "	ret\n"
    "	around\n"
    "	jmp 1f + 2\n"
    "	nop\n"
    "1:	mov $39, %eax\n"
    "	syscall\n"
    "entered_after:\n"
    "	ret\n"
    "	.skip 70000, 0x90\n"
    "	numbered middle, 200, 39\n"
    "	.skip 5000, 0x90\n"
    "	numbered near, 200, 110\n"
    /* Stands in for the gate: counts, makes the call, and changes no flag on the way. */
    "	.globl gate\n"
    "gate:\n"
    "	mov %rax, 8(%r15)\n"
    "	mov %rcx, 16(%r15)\n"
    "	lea -512(%rsp), %rsp\n"
    "	pushf\n"
    "	mov (%rsp), %r11\n"
    "	lea 520(%rsp), %rsp\n"
    "	mov %r11, 264(%r15)\n"
    "	mov (%r15), %r11\n"
    "	lea 1(%r11), %r11\n"
    "	mov %r11, (%r15)\n"
    "	syscall\n"
    "	mov 16(%r15), %rcx\n"
    "	jmp *%rcx\n"
    "	.globl call_site\n"
    "call_site:\n"
    "	push %rbx\n	push %rbp\n	push %r12\n	push %r13\n	push %r14\n	push %r15\n"
    "	mov %rdi, %r15\n"
    "	mov %rsi, %r11\n"
    "	pushq $0x9999\n"
    "	.set k, 0\n"
    "	.rept 15\n"
    "	movq $0x5a5a00 + k, -16-8*k(%rsp)\n"
    "	.set k, k + 1\n"
    "	.endr\n"
    "	mov $0x7fffff01, %edi\n"
    "	mov $0x7fffff02, %esi\n"
    "	mov $0x7fffff03, %edx\n"
    "	mov $0x7fffff04, %r10d\n"
    "	mov $0x7fffff05, %r8d\n"
    "	mov $0x9999, %r9d\n"
    "	mov $0x7fffff07, %ebx\n"
    "	mov $0x7fffff08, %ebp\n"
    "	mov $0x7fffff09, %r12d\n"
    "	mov $0x7fffff0a, %r13d\n"
    "	mov $0x7fffff0b, %r14d\n"
    /* Carry, zero and overflow. */
    "	xor %eax, %eax\n"
    "	mov $0x80000000, %ecx\n"
    "	add %ecx, %ecx\n"
    "	call *%r11\n"
    "	mov %rax, 32(%r15)\n"
    "	mov -16(%rsp), %rax\n	mov %rax, 144(%r15)\n"
    "	.set k, 1\n"
    "	.rept 14\n"
    "	mov -16-8*k(%rsp), %rax\n"
    "	mov %rax, 144+8*k(%r15)\n"
    "	.set k, k + 1\n"
    "	.endr\n"
    "	pushf\n"
    "	pop %rax\n"
    "	mov %rax, 40(%r15)\n"
    "	mov %rdi, 48(%r15)\n	mov %rsi, 56(%r15)\n	mov %rdx, 64(%r15)\n"
    "	mov %r10, 72(%r15)\n	mov %r8, 80(%r15)\n	mov %r9, 88(%r15)\n"
    "	mov %rbx, 96(%r15)\n	mov %rbp, 104(%r15)\n	mov %r12, 112(%r15)\n"
    "	mov %r13, 120(%r15)\n	mov %r14, 128(%r15)\n	mov %rsp, 136(%r15)\n"
    "	pop %rax\n"
    "	pop %r15\n	pop %r14\n	pop %r13\n	pop %r12\n	pop %rbp\n	pop %rbx\n"
    "	ret\n");

#define SITES(each) \
	each(far, 39) each(plain, 186) each(opcode, 283) each(cut, 334) each(last, 110) \
	each(pages, 324) each(call, 39) each(middle, 39) each(near, 110) each(word, 449) \
	each(libc, 39) each(end, 186) each(torn, 39)

#define DECLARE(name, number) extern const char name[], name##_after[];
SITES(DECLARE)
extern const char gate[], bridge_after[], false_after[], entered_after[];

static const struct site {
	const char *name;
	const char *start;
	const char *after;
	int number;
} sites[] = {
#define ENTRY(name, number) {#name, name, name##_after, number},
	SITES(ENTRY)
};
#define COUNT (sizeof(sites) / sizeof(sites[0]))

static long pid, parent;
static long rounds;
static uint64_t calls, gated, wrong;

static void complain(const struct site *site, const char *what, uint64_t value)
{
	char line[200];
	int len = snprintf(line, sizeof(line), "%s: %s %#lx\n", site->name, what, value);

	if (__atomic_fetch_add(&wrong, 1, __ATOMIC_SEQ_CST) < 20 && write(2, line, len) < 0)
		_exit(3);
}

static void try_site(struct thread *thread, const struct site *site, long tid)
{
	static const uint64_t registers[REGISTERS - 1] = {
		0x7fffff01, 0x7fffff02, 0x7fffff03, 0x7fffff04, 0x7fffff05, 0x9999,
		0x7fffff07, 0x7fffff08, 0x7fffff09, 0x7fffff0a, 0x7fffff0b,
	};
	const uint64_t flags = 0x8c5, wanted = 0x845;
	uint64_t before = thread->gated;
	long result;

	call_site(thread, site->start);
	switch (site->number) {
	case 39: result = pid; break;
	case 110: result = parent; break;
	case 186: result = tid; break;
	default: result = -22;
	}
	if ((long)thread->rax != result)
		complain(site, "result", thread->rax);
	if (thread->rcx != (uint64_t)site->after)
		complain(site, "rcx", thread->rcx);
	if ((thread->flags & flags) != wanted)
		complain(site, "flags", thread->flags);
	for (int i = 0; i < REGISTERS - 1; i++)
		if (thread->registers[i] != registers[i])
			complain(site, "register", thread->registers[i]);
	for (int i = 0; i < RED_ZONE; i++)
		if (thread->red_zone[i] != (uint64_t)0x5a5a00 + i)
			complain(site, "red zone", thread->red_zone[i]);
	if (thread->gated == before)
		return;
	if (thread->gated != before + 1)
		complain(site, "times in the gate", thread->gated - before);
	if (thread->number != (uint64_t)site->number)
		complain(site, "number in the gate", thread->number);
	if (thread->gate_rcx != (uint64_t)site->after)
		complain(site, "rcx in the gate", thread->gate_rcx);
	if ((thread->gate_flags & flags) != wanted)
		complain(site, "flags in the gate", thread->gate_flags);
}

static void *run(void *unused)
{
	struct thread thread = {0};
	long tid = syscall(SYS_gettid);

	for (long i = 0; i < rounds; i++)
		for (size_t s = 0; s < COUNT; s++)
			try_site(&thread, &sites[s], tid);
	__atomic_fetch_add(&calls, rounds * COUNT, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&gated, thread.gated, __ATOMIC_SEQ_CST);
	return unused;
}

/* Children see the sites as they are at that moment. */
static void *run_children(void *unused)
{
	int status;

	for (long i = 0; i < rounds / 500; i++) {
		pid_t child = fork();

		if (!child) {
			struct thread thread = {0};

			wrong = 0;
			parent = pid;
			pid = getpid();
			for (size_t s = 0; s < 3 * COUNT; s++)
				try_site(&thread, &sites[s % COUNT], pid);
			_exit(wrong != 0);
		}
		if (waitpid(child, &status, 0) != child || status)
			__atomic_fetch_add(&wrong, 1, __ATOMIC_SEQ_CST);
	}
	return unused;
}

/* Some site's code, where there is no file behind it, or not as its header says. */
static void print_odd(void)
{
	size_t page = 4096;
	const char *start = (const char *)((uintptr_t)plain_after & -page);
	size_t place = plain_after - start;
	char *copy = mmap(0, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	FILE *self = fopen("/proc/self/exe", "r");
	uint64_t from, to, offset;
	char line[500];
	FILE *maps = fopen("/proc/self/maps", "r");
	int fd = memfd_create("code", 0);

	memcpy(copy, start, page);
	if (write(fd, copy, page) != (ssize_t)page || mprotect(copy, page, PROT_READ | PROT_EXEC))
		exit(2);
	printf("anonymous %p\n", copy + place);
	copy = mmap(0, page, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	printf("memory %p\n", copy + place);
	while (fgets(line, sizeof(line), maps))
		if (sscanf(line, "%lx-%lx %*s %lx", &from, &to, &offset) == 3 &&
		    from <= (uintptr_t)start && (uintptr_t)start < to)
			break;
	offset += (uintptr_t)start - from;
	copy = mmap(0, page, PROT_READ | PROT_EXEC, MAP_SHARED, fileno(self), offset);
	printf("shared %p\n", copy + place);
	copy = mmap(0, page, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE, fileno(self), offset);
	printf("writable %p\n", copy + place);
	copy = mmap(0, page, PROT_READ | PROT_EXEC, MAP_PRIVATE, fileno(self), offset);
	printf("elsewhere %p\n", copy + place);
	copy = mmap(0, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(copy, page);
	printf("nothing %p\n", copy + place);
}

int main(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 1024, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};
	pthread_t threads[4];
	char line[50];
	int listener;

	pid = getpid();
	parent = getppid();
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return 2;
	listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
			   &program);
	printf("listener %d\n", listener);
	printf("gate %p\n", gate);
	for (size_t s = 0; s < COUNT; s++)
		printf("%s %p %d\n", sites[s].name, sites[s].after, sites[s].number);
	printf("bridge %p\nfalse %p\nentered %p\n", bridge_after, false_after, entered_after);
	print_odd();
	printf("ready\n");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		rounds = atol(line);
		for (int i = 0; i < 4; i++)
			pthread_create(&threads[i], 0, i < 3 ? run : run_children, 0);
		for (int i = 0; i < 4; i++)
			pthread_join(threads[i], 0);
		printf("%lu %lu %lu\n", calls, gated, wrong);
		fflush(stdout);
		calls = gated = 0;
	}
	return wrong != 0;
}
