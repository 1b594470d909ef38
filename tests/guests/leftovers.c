/* Absolute waits right after functions of a C library, with what those left in the registers.
 *
 *   leftovers ROUNDS
 *
 * A system call that takes fewer than six arguments leaves the other registers as they happen to be.
 * Prints a line for each pair of a function and a call: how many of ROUNDS ended rightly.
 */
#include "timed.h"
#include <fcntl.h>
#include <mqueue.h>
#include <semaphore.h>
#include <sys/time.h>
#include <sys/timerfd.h>

/* Calls a function with five arguments, then makes the system call with four, without changing any
 * other register. Nothing in the site's own bytes tells its number. */
typedef long then_call(void *function, long *arguments, long nr, long *call);

#define THEN(name, more)                                                                             \
    __asm__(".p2align 4\n" #name ": push %rbx\n push %rbp\n push %r12\n mov %rdx, %rbp\n"            \
            " mov %rcx, %rbx\n mov %rdi, %r12\n mov %rsi, %rax\n mov (%rax), %rdi\n"                 \
            " mov 8(%rax), %rsi\n mov 16(%rax), %rdx\n mov 24(%rax), %rcx\n mov 32(%rax), %r8\n"     \
            " xor %eax, %eax\n call *%r12\n mov (%rbx), %rdi\n mov 8(%rbx), %rsi\n"                  \
            " mov 16(%rbx), %rdx\n mov 24(%rbx), %r10\n mov %rbp, %rax\n" more                       \
            " nop\n syscall\n pop %r12\n pop %rbp\n pop %rbx\n ret\n");                              \
    then_call name

THEN(then_four, "");
THEN(then_five, " mov 32(%rbx), %r8\n");
THEN(then_last, " mov $-1, %r9\n");

static struct timespec time_read, past, until;
static struct timeval time_of_day;
static struct itimerspec setting, past_setting;
static sem_t semaphore;
static mqd_t queue;
static int timer, word;
static char byte;

static void prepare(clockid_t clock)
{
    past_setting.it_value = past = at(now(clock) - SECOND);
    setting.it_value = until = at(now(clock) + MILLISECOND);
}

/* Calls by which one waits, and what is right for them. */
static const struct {
    const char *name;
    then_call *then;
    long nr, expected;
    long arguments[5];
} waits[] = {
    { "clock_nanosleep", then_four, 230, 0, { 0, TIMER_ABSTIME, (long)&until, 0, 0 } },
    { "timerfd_settime", then_four, 286, 0, { 0, TFD_TIMER_ABSTIME, (long)&setting, 0, 0 } },
    { "mq_timedreceive", then_five, 243, -ETIMEDOUT, { 0, (long)&byte, 1, 0, (long)&until } },
    { "futex", then_last, 202, -ETIMEDOUT, { (long)&word, FUTEX_WAIT_BITSET | FUTEX_REALTIME, 0, (long)&until, 0 } },
};

static int is_right(int which, long result)
{
    unsigned long ticks;

    if (waits[which].nr == 286 && result == 0 && read(timer, &ticks, sizeof ticks) != sizeof ticks)
        return 0;
    return result == waits[which].expected && is_over(CLOCK_REALTIME, &until);
}

static void pairs(const char *name, void *function, long *arguments, int rounds)
{
    for (int which = 0; which < 4; which++) {
        long call_with[5], right = 0;

        /* DIFFERENCE: see LIMITATIONS.md, under the cookie. */
        if (!strcmp(name, waits[which].name))
            continue;
        memcpy(call_with, waits[which].arguments, sizeof call_with);
        if (waits[which].nr == 286)
            call_with[0] = timer;
        if (waits[which].nr == 243)
            call_with[0] = queue;
        for (int i = 0; i < rounds; i++) {
            prepare(CLOCK_REALTIME);
            right += is_right(which, waits[which].then(function, arguments, waits[which].nr, call_with));
        }
        printf("%s, %s: %ld\n", name, waits[which].name, right);
    }
}

int main(int argc, char **argv)
{
    struct mq_attr attributes = { .mq_maxmsg = 1, .mq_msgsize = 1 };
    char name[32];
    int rounds = argc > 1 ? atoi(argv[1]) : 10;

    snprintf(name, sizeof name, "/leftovers-%d", getpid());
    queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
    timer = timerfd_create(CLOCK_REALTIME, 0);
    if (queue == (mqd_t)-1 || mq_unlink(name) || timer < 0 || sem_init(&semaphore, 0, 0))
        return 3;
    pairs("clock_gettime", clock_gettime, (long[5]){ 0, (long)&time_read }, rounds);
    pairs("an ALARM clock", clock_gettime, (long[5]){ 8, (long)&time_read }, rounds);
    pairs("gettimeofday", gettimeofday, (long[5]){ (long)&time_of_day }, rounds);
    pairs("time", time, (long[5]){ 0 }, rounds);
    pairs("clock_nanosleep", clock_nanosleep, (long[5]){ 0, TIMER_ABSTIME, (long)&past, 0 }, rounds);
    pairs("sem_timedwait", sem_timedwait, (long[5]){ (long)&semaphore, (long)&past }, rounds);
    pairs("mq_timedreceive", mq_timedreceive, (long[5]){ queue, (long)&byte, 1, 0, (long)&past }, rounds);
    pairs("timerfd_settime", timerfd_settime, (long[5]){ timer, TFD_TIMER_ABSTIME, (long)&past_setting, 0 }, rounds);
    return 0;
}
