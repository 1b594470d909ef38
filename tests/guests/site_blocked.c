/* Threads that are blocked at a call site while another thread uses it for the first time.
 *
 *   site_blocked quiet|stops|handlers|restarting ROUNDS
 *
 * All rounds run at once, each in a process of its own. Three threads wait there for half a second
 * by relative calls, or for ever, while the first one waits for absolute times, so that the site is
 * patched under them; meanwhile the process is stopped and continued (`stops`), or signals run
 * handlers with or without SA_RESTART. The kernel begins an interrupted call again at its `syscall`
 * instruction, some of them with another number. Prints `right N wrong N patched N`.
 */
#include "timed.h"
#include "sites.h"
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { WAITS = 500 };

static struct { long right, wrong, patched; } *total;
static volatile int word, over;
static volatile long handled;
static int has_handlers;

static void handle(int number)
{
    (void)number;
    __atomic_add_fetch(&handled, 1, __ATOMIC_SEQ_CST);
}

static void expect(int is_right, const char *what, long result)
{
    __atomic_add_fetch(is_right ? &total->right : &total->wrong, 1, __ATOMIC_RELAXED);
    if (!is_right)
        fprintf(stderr, "%s: %ld\n", what, result);
}

/* Sleeps for so long by relative calls: an interrupted one says how much was left. */
static void *sleeper(void *unused)
{
    struct timespec left = at(WAITS * MILLISECOND);
    long long end = now(CLOCK_MONOTONIC) + WAITS * MILLISECOND;
    long result;

    do
        result = SLEEP_SITE->call(CLOCK_MONOTONIC, 0, (long)&left, (long)&left, 0, 0);
    while (result == -EINTR && has_handlers);
    /* What is left is rounded by less than the slack of a timer for each interruption. */
    expect(result == 0 && now(CLOCK_MONOTONIC) > end - 5 * MILLISECOND, "sleeper", result);
    return unused;
}

/* Waits for so long by one relative call; an interrupted one is made again in full. */
static void *waiter(void *unused)
{
    struct timespec time = at(WAITS * MILLISECOND);
    int own = 0;
    long result;
    long long end;

    do {
        end = now(CLOCK_MONOTONIC) + WAITS * MILLISECOND;
        result = FUTEX_SITE->call((long)&own, FUTEX_WAIT, 0, (long)&time, 0, 0);
    } while (result == -EINTR && has_handlers);
    expect(result == -ETIMEDOUT && now(CLOCK_MONOTONIC) >= end, "waiter", result);
    return unused;
}

/* Waits until it is woken; a wait that begins again, after a stop, looks at the word once more. */
static void *woken(void *unused)
{
    long result;

    do
        result = FUTEX_SITE->call((long)&word, FUTEX_WAIT, 0, 0, 0, 0);
    while (result == -EINTR && has_handlers);
    expect((result == 0 || result == -EAGAIN) && word == 1, "woken", result);
    over = 1;
    return unused;
}

/* The first uses, and many later ones. */
static void use(void)
{
    int own = 0;

    for (int i = 0; i < 20; i++) {
        struct timespec time = at(now(CLOCK_REALTIME) + 5 * MILLISECOND);
        long result = SLEEP_SITE->call(CLOCK_REALTIME, TIMER_ABSTIME, (long)&time, 0, 0, 0);

        expect((result == 0 && now(CLOCK_REALTIME) >= time.tv_sec * SECOND + time.tv_nsec)
                   || (result == -EINTR && has_handlers),
               "absolute sleep", result);
        time = at(now(CLOCK_REALTIME) + 5 * MILLISECOND);
        result = FUTEX_SITE->call((long)&own, FUTEX_WAIT_BITSET | FUTEX_REALTIME, 0, (long)&time, 0, -1);
        expect((result == -ETIMEDOUT && now(CLOCK_REALTIME) >= time.tv_sec * SECOND + time.tv_nsec)
                   || (result == -EINTR && has_handlers),
               "absolute wait", result);
    }
}

/* A child that stops its parent again and again until that has ended. */
static void stop_again_and_again(pid_t parent)
{
    while (getppid() == parent) {
        usleep(7000);
        kill(parent, SIGSTOP);
        usleep(3000);
        if (kill(parent, SIGCONT))
            break;
    }
    _exit(0);
}

static void *signals(void *threads)
{
    while (!over) {
        usleep(3000);
        for (int i = 0; i < 3; i++)
            pthread_kill(((pthread_t *)threads)[i], SIGUSR1);
    }
    return NULL;
}

static int round_of(const char *mode)
{
    void *(*roles[3])(void *) = { sleeper, waiter, woken };
    pthread_t threads[4];
    struct sigaction action = { .sa_handler = handle };
    pid_t stopper = -1;

    if (!strcmp(mode, "restarting"))
        action.sa_flags = SA_RESTART;
    sigaction(SIGUSR1, &action, NULL);
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, roles[i], NULL);
    if (!strcmp(mode, "stops") && (stopper = fork()) == 0)
        stop_again_and_again(getppid());
    usleep(50000);
    if (has_handlers)
        pthread_create(&threads[3], NULL, signals, threads);
    use();
    if (!has_handlers)
        usleep(WAITS * 1000);
    word = 1;
    while (!over) {
        call(SYS_futex, (long)&word, FUTEX_WAKE, 1, 0, 0, 0);
        usleep(1000);
    }
    /* First the one that sends signals to the others: what has been joined has no id any more. */
    for (int i = 2 + has_handlers; i >= 0; i--)
        pthread_join(threads[i], NULL);
    __atomic_add_fetch(&total->patched, is_patched(SLEEP_SITE) && is_patched(FUTEX_SITE), __ATOMIC_RELAXED);
    if (stopper > 0) {
        kill(stopper, SIGKILL);
        waitpid(stopper, NULL, 0);
    }
    return 0;
}

int main(int argc, char **argv)
{
    int rounds = argc == 3 ? atoi(argv[2]) : 0, status, broken = 0;

    if (argc != 3)
        return 2;
    has_handlers = !strcmp(argv[1], "handlers") || !strcmp(argv[1], "restarting");
    total = mmap(NULL, sizeof *total, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < rounds; i++)
        if (fork() == 0)
            _exit(round_of(argv[1]));
    for (int i = 0; i < rounds; i++)
        if (wait(&status) < 0 || status)
            broken++;
    printf("right %ld wrong %ld patched %ld\n", total->right, total->wrong, total->patched);
    return broken || total->wrong;
}
