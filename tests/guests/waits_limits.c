/* Waits in processes that have little: no descriptors, no memory, no stack, or many threads.
 *
 *   waits_limits descriptors|memory|frozen-text|crowd|small-stack|alternate-stack|no-stack
 *
 * Each waits at sites that it has not used before, and at sites that never change. Prints a line for
 * each wait: `NAME SITE RESULT WHEN`.
 */
#include "timed.h"
#include "sites.h"
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* A site that cannot be told from others by what stands before it. */
__asm__(".p2align 6\nplain_site: mov $230, %eax\n mov %rcx, %r10\n nop\n syscall\n ret\n");
extern long plain_site(long, long, long, long, long, long);

static void use(const char *name)
{
    for (int i = 0; i < 6; i++) {
        long long deadline = now(CLOCK_REALTIME) + (i % 2 ? 5 * MILLISECOND : -SECOND);
        struct timespec time = at(deadline);
        long (*site)(long, long, long, long, long, long) = i < 3 ? SLEEP_SITE->call : plain_site;
        long result = site(CLOCK_REALTIME, TIMER_ABSTIME, (long)&time, 0, 0, 0);

        printf("%s %d %ld %s\n", name, i, result, when(CLOCK_REALTIME, deadline));
    }
}

static void limit(int resource, rlim_t value)
{
    struct rlimit both = { value, value };

    if (setrlimit(resource, &both))
        exit(3);
}

/* All its pages, in bytes. */
static rlim_t own_size(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    long pages = 0;

    if (!file || fscanf(file, "%ld", &pages) != 1)
        exit(3);
    fclose(file);
    return (rlim_t)pages * 4096;
}

static pthread_barrier_t start;
static int wrong;

static void *one_of_many(void *unused)
{
    long long deadline;
    struct timespec time;
    long result;

    pthread_barrier_wait(&start);
    time = at(deadline = now(CLOCK_REALTIME) + 20 * MILLISECOND);
    result = SLEEP_SITE->call(CLOCK_REALTIME, TIMER_ABSTIME, (long)&time, 0, 0, 0);
    if (result || strcmp(when(CLOCK_REALTIME, deadline), "in time"))
        __atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
    return unused;
}

static void crowd(int number)
{
    pthread_t threads[512];
    pthread_attr_t attributes;
    int made = 0;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 32768);
    pthread_barrier_init(&start, NULL, (unsigned)number);
    while (made < number && !pthread_create(&threads[made], &attributes, one_of_many, NULL))
        made++;
    if (made < number)
        exit(3);
    for (int i = 0; i < number; i++)
        pthread_join(threads[i], NULL);
    printf("crowd %d wrong %d\n", number, wrong);
}

static void *on_small_stack(void *unused)
{
    use("small stack");
    return unused;
}

static volatile long in_handler = -1;

static void handle(int number)
{
    static struct timespec time;

    (void)number;
    time = at(now(CLOCK_REALTIME) - SECOND);
    in_handler = SLEEP_SITE->call(CLOCK_REALTIME, TIMER_ABSTIME, (long)&time, 0, 0, 0);
}

static char *volatile frame;

static void measure(int number)
{
    (void)number;
    frame = __builtin_frame_address(0);
}

/* A stack on which a handler has `room` bytes beside what the kernel puts there, which is less than
 * the kernel says beforehand (AT_MINSIGSTKSZ). */
static void alternate_stack(size_t room)
{
    char *pages = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    stack_t stack = { .ss_sp = pages, .ss_size = 65536 };
    struct sigaction action = { .sa_handler = measure, .sa_flags = SA_ONSTACK };
    size_t size;

    if (sigaltstack(&stack, NULL))
        exit(3);
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    size = (size_t)(pages + 65536 - frame) + room;
    stack = (stack_t){ .ss_sp = pages + 65536 - size, .ss_size = size };
    action.sa_handler = handle;
    /* The dynamic linker's first search for a function takes more stack than there is. */
    now(CLOCK_REALTIME);
    memset(pages, 0x5a, 65536 - size);
    if (sigaltstack(&stack, NULL))
        exit(3);
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    printf("alternate stack %ld\n", in_handler);
    in_handler = -1;
    raise(SIGUSR1);
    printf("alternate stack %ld\n", in_handler);
    for (size_t i = 0; i < 65536 - size; i++)
        if (pages[i] != 0x5a) {
            printf("written below the stack\n");
            break;
        }
}

/* A call while the stack pointer is `sp`; nothing is pushed, and all is put back. */
static long call_on(unsigned long sp, const struct timespec *time)
{
    register unsigned long saved __asm__("r12");
    long result;

    __asm__ volatile("mov %%rsp, %1\n mov %2, %%rsp\n mov $230, %%eax\n syscall\n mov %1, %%rsp"
                     : "=&a"(result), "=&r"(saved)
                     : "r"(sp), "D"(CLOCK_REALTIME), "S"(TIMER_ABSTIME), "d"(time), "r"(0)
                     : "rcx", "r10", "r11", "memory");
    return result;
}

/* Each in a process of its own: what a thread without a stack can do is to be killed. */
static void no_stack(void)
{
    static char page[8192] __attribute__((aligned(4096)));
    unsigned long pointers[] = { 0, 1, 8, (unsigned long)page, -8UL, 1UL << 63, 0x123456789abcdef0,
                                 (unsigned long)page + 4096 + 8, (unsigned long)page + 4097 };

    mprotect(page, 4096, PROT_NONE);
    for (size_t i = 0; i < sizeof pointers / sizeof *pointers; i++) {
        int status = -1;
        pid_t pid = fork();

        if (pid == 0) {
            long long deadline = now(CLOCK_REALTIME) + 5 * MILLISECOND;
            struct timespec time = at(deadline);
            long result = call_on(pointers[i], &time);

            _exit(result != 0 || !is_over(CLOCK_REALTIME, &time));
        }
        waitpid(pid, &status, 0);
        printf("no stack %zu %s\n", i, WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : status ? "wrong" : "right");
    }
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    pthread_attr_t attributes;
    pthread_t thread;

    if (!strcmp(mode, "descriptors")) {
        limit(RLIMIT_NOFILE, 0);
        use(mode);
    } else if (!strcmp(mode, "memory")) {
        printf("\n"); /* which takes the buffer that is needed later */
        limit(RLIMIT_AS, own_size());
        use(mode);
    } else if (!strcmp(mode, "frozen-text")) {
        if (prctl(65, 1, 0, 0, 0)) /* PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN */
            printf("no such thing\n");
        use(mode);
    } else if (!strcmp(mode, "crowd")) {
        crowd(512);
    } else if (!strcmp(mode, "small-stack")) {
        pthread_attr_init(&attributes);
        pthread_attr_setstacksize(&attributes, 16384);
        pthread_create(&thread, &attributes, on_small_stack, NULL);
        pthread_join(thread, NULL);
    } else if (!strcmp(mode, "alternate-stack")) {
        alternate_stack(argc > 2 ? (size_t)atoi(argv[2]) : 1024);
    } else if (!strcmp(mode, "no-stack")) {
        no_stack();
    } else {
        return 2;
    }
    return 0;
}
