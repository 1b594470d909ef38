/* Each call that takes an absolute time, and how it is made. */
#include <fcntl.h>
#include <poll.h>

enum clock { REALTIME = 0, MONOTONIC = 1, BOOTTIME = 7, REALTIME_ALARM = 8, BOOTTIME_ALARM = 9,
             TAI = 11 };

#define FULL_QUEUE 1

/* Particulars, besides the flags. */
enum particular {
    PLAIN, RELATIVE = 1, WIDE = 2, /* bits: relative; rubbish in the upper halves */
    BAD_REST = 4, NOBODY, FREE, MINE, DEAD, MISMATCH, NO_WORD, ODD_WORD, NO_BITS, TOO_MANY,
    NO_ARRAY, FLAGGED, SILENT, REPEATED, NO_OLD, BAD_OLD, OLD_IS_NEW, BAD_INTERVAL,
    NEGATIVE_INTERVAL,
    WRONG_ID, NEGATIVE_ID, OTHER_FILE, READ, COPIED, SHORT, NONBLOCKING, BAD_MESSAGE,
};

struct call {
    const char *name;
    long (*run)(struct pair *);
    int nr;
    long op;              /* of futex(2) */
    long expired;         /* what it returns when the time has come */
    size_t size;          /* of the structure that holds the time */
    const struct variant *variants;
    const int *clocks, *wrong_clocks; /* each ended by NO_CLOCK */
};
#define NO_CLOCK 1000000

static bool is_relative(const struct row *row)
{
    return row->variant->how == RELATIVE;
}

static long wide(struct pair *pair, int value)
{
    return pair->row->variant->how == WIDE ? value | (long)(0xdeadbeefUL << 32) : value;
}

/* A remaining time, told so that two runs tell the same. */
static const char *about(struct timespec left)
{
    static __thread char text[64];
    static const int expected[] = { LATER, 500 };

    if (!left.tv_sec && !left.tv_nsec)
        return "nothing";
    if (left.tv_sec == -7)
        return "untouched";
    for (unsigned i = 0; i < sizeof expected / sizeof *expected; i++)
        if (left.tv_sec <= expected[i] && left.tv_sec > expected[i] - 60) {
            snprintf(text, sizeof text, "about %d s", expected[i]);
            return text;
        }
    if (!left.tv_sec)
        return "a moment";
    if (left.tv_sec > 100LL * 365 * 86400)
        return "more than a life";
    snprintf(text, sizeof text, "%lld.%09ld", (long long)left.tv_sec, left.tv_nsec);
    return text;
}

static void remark_span(struct pair *pair, const char *what, const struct span *span)
{
    char text[160];
    int length = snprintf(text, sizeof text, "%s %s", what, about(span->value));

    if (span->interval.tv_sec >= 0 && (span->interval.tv_sec || span->interval.tv_nsec))
        snprintf(text + length, sizeof text - length, " every %lld.%09ld",
                 (long long)span->interval.tv_sec, span->interval.tv_nsec);
    remark(pair, text);
}

/* Notes when something came too early or too late; `due` counts on the row's clock. */
static void remark_moment(struct pair *pair, long long due)
{
    long long now = now_on(pair->row->clock);
    char text[64];

    if (is_relative(pair->row))
        due += pair->base;
    if (now < due) {
        snprintf(text, sizeof text, "TOO EARLY by %lld ns", due - now);
        remark(pair, text);
    } else if (now > (due > pair->base ? due : pair->base) + LATE) {
        remark(pair, "TOO LATE");
    } else {
        remark(pair, "in time");
    }
}

#define UNTOUCHED { -7, 123 }

static long sleep_until(struct pair *pair)
{
    const struct variant *variant = pair->row->variant;
    struct timespec rest = UNTOUCHED;
    void *where = variant->how == BAD_REST ? (void *)1 : &rest;
    long result = enter(pair, NR_clock_nanosleep, wide(pair, pair->row->clock),
                        wide(pair, variant->flags), (long)pair->spec, (long)where, 0, 0);

    /* A relative sleep writes there whenever it is interrupted, even if it then goes on. */
    if ((rest.tv_sec != -7 || rest.tv_nsec != 123)
        && (!is_relative(pair->row) || (result && pair->row->kind->end != RESTARTED))) {
        remark(pair, "rest:");
        remark(pair, about(rest));
    }
    return result;
}

/* --- futexes --- */

static long wait_on_futex(struct pair *pair)
{
    const struct row *row = pair->row;
    int how = row->variant->how;
    long op = row->call->op | row->variant->flags;
    unsigned *word = how == NO_WORD ? NULL : &pair->word;
    long value = how == MISMATCH ? 41 : 42, result;
    bool inherits = row->call->op == FUTEX_LOCK_PI || row->call->op == FUTEX_LOCK_PI2;

    if (row->clock == REALTIME && row->call->op != FUTEX_LOCK_PI)
        op |= FUTEX_CLOCK_REALTIME;
    if (how == ODD_WORD)
        word = (void *)((char *)word + 1);
    pair->word = !inherits ? 42 : how == FREE ? 0 : how == MINE ? (unsigned)pair->runner
               : how == DEAD ? 0x3ffffffe : (unsigned)pair->partner;
    pair->other_word = 0;
    result = enter(pair, NR_futex, (long)word, wide(pair, op), value, (long)pair->spec,
                   (long)&pair->other_word, how == NO_BITS ? 0 : ~0U);
    if (inherits && (pair->word & FUTEX_TID_MASK) == (unsigned)pair->runner)
        futex(&pair->word, FUTEX_UNLOCK_PI | (op & PRIVATE), 0, NULL, NULL, 0);
    if ((pair->other_word & FUTEX_TID_MASK) == (unsigned)pair->runner)
        futex(&pair->other_word, FUTEX_UNLOCK_PI | (op & PRIVATE), 0, NULL, NULL, 0);
    return result;
}

struct waiter { unsigned long long value, word; unsigned flags, reserved; };

static long wait_on_several(struct pair *pair)
{
    const struct row *row = pair->row;
    int how = row->variant->how;
    unsigned flags = FUTEX_32 | row->variant->flags;
    struct waiter waiters[2] = {
        { 42, (unsigned long)&pair->word, flags, 0 },
        { how == MISMATCH ? 41 : 42, (unsigned long)&pair->other_word, flags, 0 },
    };
    long count = how == NOBODY ? 0 : how == TOO_MANY ? 129 : 2;

    pair->word = pair->other_word = 42;
    return enter(pair, NR_futex_waitv, how == NO_ARRAY ? 0 : (long)waiters, wide(pair, count),
                 how == FLAGGED, (long)pair->spec, wide(pair, row->clock), 0);
}

static long wait_on_one(struct pair *pair)
{
    const struct row *row = pair->row;
    int how = row->variant->how;
    unsigned *word = how == NO_WORD ? NULL : &pair->word;

    if (how == ODD_WORD)
        word = (void *)((char *)word + 1);
    pair->word = 42;
    return enter(pair, NR_futex_wait, (long)word, how == MISMATCH ? 41 : 42,
                 how == NO_BITS ? 0 : ~0U, how == FLAGGED ? 0x1000 : 2 | row->variant->flags,
                 (long)pair->spec, how == WIDE ? row->clock | (long)(0x5eadbeefUL << 32)
                                               : row->clock);
}

/* --- message queues --- */

static long use_queue(struct pair *pair)
{
    const struct row *row = pair->row;
    int how = row->variant->how, queue = -1, tries;
    struct mq_attr size = { .mq_maxmsg = 1, .mq_msgsize = 8 };
    char name[64], message[8] = "";
    long result;

    snprintf(name, sizeof name, "elsewhen-waits-%d-%d", getpid(), pair->runner);
    /* Other tests have queues too, and there are but 256 in all. */
    for (tries = 0; tries < 2000; tries++) {
        queue = syscall(SYS_mq_open, name, O_CREAT | O_EXCL | O_RDWR
                        | (how == NONBLOCKING ? O_NONBLOCK : 0), 0600, &size);
        if (queue >= 0 || errno != ENOSPC)
            break;
        nanosleep(&(struct timespec){ 0, 5000000 }, NULL);
    }
    if (queue < 0)
        return -errno;
    syscall(SYS_mq_unlink, name);
    if ((row->call->op == FULL_QUEUE) != (how == FREE))
        syscall(SYS_mq_timedsend, queue, message, 8, 0, NULL);
    pair->queue = queue;
    result = enter(pair, row->call->nr,
                   how == NEGATIVE_ID ? -1 : how == OTHER_FILE ? 2 : wide(pair, queue),
                   how == BAD_MESSAGE ? 1 : (long)message,
                   how == SHORT ? (row->call->op == FULL_QUEUE ? 9 : 7) : 8,
                   0, (long)pair->spec, 0);
    return result;
}

/* --- what the partner does to end a wait --- */

static void wake_up(struct pair *pair)
{
    const struct row *row = pair->row;
    int flag = row->variant->flags & PRIVATE;
    char message[8] = "";
    struct timespec none = { 0, 0 };

    if (row->call->run == use_queue && pair->queue >= 0) {
        /* The queue is ready, or the time has come. */
        if (row->call->op == FULL_QUEUE)
            syscall(SYS_mq_timedreceive, pair->queue, message, 8, NULL, &none);
        else
            syscall(SYS_mq_timedsend, pair->queue, message, 8, 0, &none);
    } else if (row->call->op == FUTEX_LOCK_PI || row->call->op == FUTEX_LOCK_PI2) {
        futex(&pair->word, FUTEX_UNLOCK_PI | flag, 0, NULL, NULL, 0);
    } else if (row->call->op == FUTEX_WAIT_REQUEUE_PI) {
        futex(&pair->word, FUTEX_CMP_REQUEUE_PI | flag, 1, NULL, &pair->other_word, 42);
    } else if (row->call->run == wait_on_several) {
        futex(&pair->other_word, FUTEX_WAKE | flag, 1, NULL, NULL, 0);
    } else {
        futex(&pair->word, FUTEX_WAKE | flag, 1, NULL, NULL, 0);
    }
}

static bool ends_by_signals(const struct row *row)
{
    return row->call->run == sleep_until;
}

/* Where Linux fails with another error than `EINTR`, or begins anew whatever the handler. A signal
 * that comes before the supervisor has seen the call would make it fail so nevertheless
 * (LIMITATIONS.md), unless the handler has SA_RESTART. */
static bool may_fail_otherwise(const struct row *row)
{
    return row->call->op == FUTEX_LOCK_PI || row->call->op == FUTEX_LOCK_PI2
        || row->call->op == FUTEX_WAIT_REQUEUE_PI
        || (row->call->run == sleep_until
            && (row->clock != REALTIME || row->kind->end != SIGNALLED));
}

/* Where a handler ends the wait even with SA_RESTART, if it has begun. */
static bool is_interrupted_anyway(const struct row *row)
{
    return row->call->run == sleep_until
        || (row->call->run == wait_on_futex
            && (row->call->op == FUTEX_WAIT || row->call->op == FUTEX_WAIT_BITSET));
}
