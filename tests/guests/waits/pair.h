/* A runner makes the calls of a row; its partner ends those that would last. */
#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdio.h>

#define PATIENCE_MS 20000 /* a wait that lasts longer than this after its end is lost */
#define GIVE_UP 14 /* attempts after which a wait is ended by all means */
#define LATE (15 * SECOND)

/* musl has no header for these. */
enum {
    FUTEX_WAIT = 0, FUTEX_WAKE = 1, FUTEX_REQUEUE = 3, FUTEX_LOCK_PI = 6, FUTEX_UNLOCK_PI = 7,
    FUTEX_WAIT_BITSET = 9, FUTEX_WAIT_REQUEUE_PI = 11, FUTEX_CMP_REQUEUE_PI = 12,
    FUTEX_LOCK_PI2 = 13, PRIVATE = 128, FUTEX_CLOCK_REALTIME = 256,
    FUTEX_32 = 2, FUTEX_TID_MASK = 0x3fffffff,
};

enum job { IDLE, RUNNING, ENDED, QUIT };

struct pair;
struct call;

/* One way to make a call. */
struct variant {
    const char *name;
    unsigned groups; /* of deadlines */
    long flags;
    int how;         /* what else is particular, as the call's function has it */
};

struct row {
    const struct call *call;
    const struct variant *variant;
    const struct kind *kind;
    int clock;
    unsigned number; /* of its own site, or 0 */
};

struct pair {
    pthread_t threads[2];
    int runner, partner; /* thread ids */
    struct memory memory;
    sigjmp_buf crash;
    volatile bool may_crash;

    /* The row at hand. */
    const struct row *row;
    enum how how;
    void *spec;
    long long base, due;
    bool can_expire;
    char remark[256];
    atomic_int job, kicks;
    volatile int handled_wrongly;

    /* What the calls work on. */
    _Alignas(64) unsigned word;
    unsigned other_word;
    int queue;
};

static __thread struct pair *own;
static atomic_int lost; /* waits that had to be ended by force */

static void remark(struct pair *pair, const char *text)
{
    size_t length = strlen(pair->remark);

    snprintf(pair->remark + length, sizeof pair->remark - length, ", %s", text);
}

/* A call from the row's own site, or as the row has it. */
static long enter(struct pair *pair, int nr, long a, long b, long c, long d, long e, long f)
{
    long arguments[] = { a, b, c, d, e, f }, changed, result;

    if (pair->how == LIBC)
        return by_libc(nr, a, b, c, d, e, f);
    result = call_and_compare(site(nr, pair->how == FRESH ? pair->row->number
                                       : pair->how == SHARED ? SHARED_SITE : SITES),
                              arguments, &changed);
    if (changed)
        remark(pair, "REGISTERS CHANGED");
    return result;
}

/* The handler of a signal reads the clocks that the waiting program has. */
static void on_signal(int number)
{
    long long now;

    (void)number;
    if (!own || !own->row)
        return;
    now = now_on(own->row->clock);
    if (now < own->base || now > own->base + 60 * SECOND)
        own->handled_wrongly++;
}

static void on_crash(int number)
{
    if (!own || !own->may_crash) {
        (void)!write(2, "crashed outside of a call\n", 26);
        _exit(3);
    }
    siglongjmp(own->crash, number);
}

static long futex(void *word, int op, long value, const void *time, void *other, long value3)
{
    long result = syscall(SYS_futex, word, op, value, time, other, value3);

    return result < 0 ? -errno : result;
}

static void wake_up(struct pair *pair);
static bool ends_by_signals(const struct row *row);
static bool may_fail_otherwise(const struct row *row);

static void kick(struct pair *pair)
{
    const struct row *row = pair->row;
    enum end end = row->kind->end;
    int count = ++pair->kicks;
    bool restarts = count <= GIVE_UP && (end == RESTARTED || may_fail_otherwise(row));
    /* One that a signal ends is not woken: a runner without a processor may not wait yet after four. */
    bool goes_on = end == SIGNALLED && may_fail_otherwise(row) && count > 3;

    if (end == ITSELF)
        lost++;
    if (end == WOKEN || end == ITSELF || goes_on || count > GIVE_UP)
        wake_up(pair);
    if (end != WOKEN || ends_by_signals(row) || count > GIVE_UP)
        syscall(SYS_tgkill, getpid(), pair->runner, restarts ? SIGUSR2 : SIGUSR1);
}

static void set_job(struct pair *pair, int job)
{
    pair->job = job;
    futex(&pair->job, FUTEX_WAKE | PRIVATE, 1, NULL, NULL, 0);
}

static void wait_while(struct pair *pair, int job)
{
    while (pair->job == job)
        futex(&pair->job, FUTEX_WAIT | PRIVATE, job, NULL, NULL, 0);
}

static void *be_partner(void *argument)
{
    struct pair *pair = argument;
    struct timespec delay;
    int milliseconds;

    pair->partner = syscall(SYS_gettid);
    set_job(pair, IDLE);
    for (;;) {
        wait_while(pair, IDLE);
        if (pair->job == QUIT)
            return NULL;
        if (pair->row->kind->end == ITSELF)
            milliseconds = lost < 20 ? PATIENCE_MS : 1000;
        else
            milliseconds = 40;
        while (pair->job == RUNNING) {
            delay = time_of(milliseconds * MILLISECOND);
            /* The wake-up that told of this row may come only now, and is no reason to end the call. */
            if (futex(&pair->job, FUTEX_WAIT | PRIVATE, RUNNING, &delay, NULL, 0) != -ETIMEDOUT)
                continue;
            kick(pair);
            /* Ever longer: a call that is restarted again and again has to come to its wait. */
            milliseconds = pair->row->kind->end == ITSELF ? 20 : milliseconds * 3 / 2;
        }
        set_job(pair, IDLE);
    }
}

static const char *error_name(long error)
{
    static const struct { int number; const char *name; } names[] = {
        { EINTR, "EINTR" }, { EINVAL, "EINVAL" }, { EFAULT, "EFAULT" }, { EAGAIN, "EAGAIN" },
        { ETIMEDOUT, "ETIMEDOUT" }, { ENOSYS, "ENOSYS" }, { EBADF, "EBADF" }, { EPERM, "EPERM" },
        { ESRCH, "ESRCH" }, { EDEADLK, "EDEADLK" }, { EOPNOTSUPP, "EOPNOTSUPP" },
        { EMSGSIZE, "EMSGSIZE" }, { ECANCELED, "ECANCELED" }, { ERANGE, "ERANGE" },
    };
    static __thread char other[32];

    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].number == error)
            return names[i].name;
    snprintf(other, sizeof other, "errno %ld", error);
    return other;
}
