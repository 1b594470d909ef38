/* The table: call by call its variants, clocks and kinds of deadline. */

#define CHOICE 0x10000 /* only kinds that are FEW */

static const struct variant sleep_variants[] = {
    { "absolute", ALL, 1, PLAIN },
    { "relative", LASTING, 0, RELATIVE },
    { "wide", CHOICE | GOOD | PAST | WRONG | POINTER, 1, WIDE },
    { "rest_at_bad_address", GOOD | INTERRUPTED, 1, BAD_REST },
    { "relative_rest_at_bad_address", INTERRUPTED, 0, BAD_REST },
    { "flags_2", CHOICE | PAST | WRONG | POINTER, 2, PLAIN },
    { "flags_3", CHOICE | GOOD | PAST | WRONG | POINTER, 3, PLAIN },
    { "flags_all", CHOICE | GOOD | PAST | WRONG | POINTER, -1, PLAIN },
    { 0 },
};

#define FUTEX_ERRORS (CHOICE | GOOD | PAST | WRONG | POINTER | ABSENT | ZERO)
#define FUTEX_VARIANTS                                  \
    { "shared", ALL, 0, PLAIN },                        \
    { "private", ALL, PRIVATE, PLAIN },                 \
    { "wide", CHOICE | GOOD | PAST | WRONG | POINTER | ABSENT, 0, WIDE }, \
    { "without_futex", FUTEX_ERRORS, 0, NO_WORD },      \
    { "unaligned", FUTEX_ERRORS, 0, ODD_WORD }

static const struct variant bitset_variants[] = {
    FUTEX_VARIANTS,
    { "other_value", FUTEX_ERRORS, PRIVATE, MISMATCH },
    { "no_bits", FUTEX_ERRORS, PRIVATE, NO_BITS },
    { "undefined_flag", FUTEX_ERRORS, 0x200, PLAIN },
    { 0 },
};
static const struct variant requeue_variants[] = {
    FUTEX_VARIANTS,
    { "other_value", FUTEX_ERRORS, PRIVATE, MISMATCH },
    { "undefined_flag", FUTEX_ERRORS, 0x400, PLAIN },
    { 0 },
};
static const struct variant lock_variants[] = {
    FUTEX_VARIANTS,
    { "free", FUTEX_ERRORS, PRIVATE, FREE },
    { "own", FUTEX_ERRORS, PRIVATE, MINE },
    { "owner_is_gone", FUTEX_ERRORS, PRIVATE, DEAD },
    { "undefined_flag", FUTEX_ERRORS, 0x200, PLAIN },
    { 0 },
};
static const struct variant old_lock_variants[] = {
    FUTEX_VARIANTS,
    { "free", FUTEX_ERRORS, PRIVATE, FREE },
    { "own", FUTEX_ERRORS, PRIVATE, MINE },
    /* The flag is of no use to it: `ENOSYS`. */
    { "with_clock_flag", FUTEX_ERRORS, FUTEX_CLOCK_REALTIME, PLAIN },
    { 0 },
};
static const struct variant plain_wait_variants[] = {
    { "relative", LASTING, 0, RELATIVE },
    { "relative_private", LASTING, PRIVATE, RELATIVE },
    { 0 },
};
static const struct variant plain_wait_clock_variants[] = {
    { "with_clock_flag", FUTEX_ERRORS, 0, RELATIVE },
    { 0 },
};
/* Here the fourth argument is a number, whatever it looks like. */
static const struct variant number_variants[] = {
    { "number", ADDRESS, PRIVATE, PLAIN },
    { 0 },
};
static const struct variant several_variants[] = {
    { "shared", ALL, 0, PLAIN },
    { "private", ALL, PRIVATE, PLAIN },
    { "wide", CHOICE | GOOD | PAST | WRONG | POINTER | ABSENT, 0, WIDE },
    { "other_value", FUTEX_ERRORS, PRIVATE, MISMATCH },
    { "of_none", FUTEX_ERRORS, 0, NOBODY },
    { "of_129", FUTEX_ERRORS, 0, TOO_MANY },
    { "without_array", FUTEX_ERRORS, 0, NO_ARRAY },
    { "flags_1", FUTEX_ERRORS, 0, FLAGGED },
    { 0 },
};
static const struct variant one_variants[] = {
    FUTEX_VARIANTS,
    { "other_value", FUTEX_ERRORS, PRIVATE, MISMATCH },
    { "no_bits", FUTEX_ERRORS, PRIVATE, NO_BITS },
    { "undefined_flag", FUTEX_ERRORS, 0, FLAGGED },
    { 0 },
};

static const struct variant queue_variants[] = {
    { "", ALL, 0, PLAIN },
    { "wide", CHOICE | GOOD | PAST | WRONG | POINTER | ABSENT, 0, WIDE },
    { "ready", FUTEX_ERRORS, 0, FREE },
    { "wrong_descriptor", FUTEX_ERRORS, 0, NEGATIVE_ID },
    { "other_file", FUTEX_ERRORS, 0, OTHER_FILE },
    { "wrong_length", FUTEX_ERRORS, 0, SHORT },
    { "bad_message", FUTEX_ERRORS & ~ABSENT, 0, BAD_MESSAGE },
    { "nonblocking", FUTEX_ERRORS, 0, NONBLOCKING },
    { 0 },
};

#define TIMER_ERRORS (CHOICE | GOOD | PAST | WRONG | POINTER | ABSENT | ZERO)
#define TIMER_VARIANTS                                          \
    { "absolute", ALL, 1, PLAIN },                      \
    { "relative", LASTING, 0, RELATIVE },         \
    { "wide", TIMER_ERRORS, 1, WIDE },                          \
    { "repeated", GOOD | PAST, 1, REPEATED },                   \
    { "bad_interval", TIMER_ERRORS, 1, BAD_INTERVAL },          \
    { "negative_interval", TIMER_ERRORS, 1, NEGATIVE_INTERVAL }, \
    { "no_old_value", GOOD | PAST | ZERO | FAR, 1, NO_OLD },    \
    { "old_value_at_bad_address", TIMER_ERRORS | FAR, 1, BAD_OLD }, \
    { "old_value_is_new_value", GOOD | ZERO | FAR, 1, OLD_IS_NEW }, \
    { "wrong_id", TIMER_ERRORS, 1, WRONG_ID },                  \
    { "negative_id", TIMER_ERRORS, 1, NEGATIVE_ID },            \
    { "flags_3", TIMER_ERRORS, 3, PLAIN },                      \
    { "flags_5", TIMER_ERRORS, 5, PLAIN },                      \
    { "flags_all", TIMER_ERRORS, -1, PLAIN }

static const struct variant timer_variants[] = {
    TIMER_VARIANTS,
    { "silent", GOOD | PAST | ZERO | FAR, 1, SILENT },
    { 0 },
};
static const struct variant timerfd_variants[] = {
    TIMER_VARIANTS,
    { "read", GOOD | PAST, 1, READ },
    { "copied", GOOD | PAST | ZERO, 1, COPIED },
    { "other_file", TIMER_ERRORS, 1, OTHER_FILE },
    { 0 },
};

#define CLOCKS(...) (const int[]){ __VA_ARGS__, NO_CLOCK }
#define ALL_CLOCKS CLOCKS(REALTIME, MONOTONIC, BOOTTIME, TAI, REALTIME_ALARM, BOOTTIME_ALARM)
#define NO_CLOCKS CLOCKS(NO_CLOCK)
#define TIME sizeof(struct timespec)
#define LATE_RESULT -ETIMEDOUT

static const struct call calls[] = {
    { "clock_nanosleep", sleep_until, NR_clock_nanosleep, 0, 0, TIME, sleep_variants, ALL_CLOCKS,
      CLOCKS(2, 3, 4, 5, 6, 10, 12, 16, 1000, -1, -2, -6) },
    { "futex_wait_bitset", wait_on_futex, NR_futex, FUTEX_WAIT_BITSET, LATE_RESULT, TIME,
      bitset_variants, CLOCKS(MONOTONIC, REALTIME), NO_CLOCKS },
    { "futex_wait_requeue_pi", wait_on_futex, NR_futex, FUTEX_WAIT_REQUEUE_PI, LATE_RESULT, TIME,
      requeue_variants, CLOCKS(MONOTONIC, REALTIME), NO_CLOCKS },
    { "futex_lock_pi", wait_on_futex, NR_futex, FUTEX_LOCK_PI, LATE_RESULT, TIME,
      old_lock_variants, CLOCKS(REALTIME), NO_CLOCKS },
    { "futex_lock_pi2", wait_on_futex, NR_futex, FUTEX_LOCK_PI2, LATE_RESULT, TIME,
      lock_variants, CLOCKS(MONOTONIC, REALTIME), NO_CLOCKS },
    { "futex_wait_plain", wait_on_futex, NR_futex, FUTEX_WAIT, LATE_RESULT, TIME,
      plain_wait_variants, CLOCKS(MONOTONIC), NO_CLOCKS },
    { "futex_wait_plain", wait_on_futex, NR_futex, FUTEX_WAIT, LATE_RESULT, TIME,
      plain_wait_clock_variants, CLOCKS(REALTIME), NO_CLOCKS },
    { "futex_requeue", wait_on_futex, NR_futex, FUTEX_REQUEUE, LATE_RESULT, TIME,
      number_variants, CLOCKS(MONOTONIC), NO_CLOCKS },
    { "futex_waitv", wait_on_several, NR_futex_waitv, 0, LATE_RESULT, TIME, several_variants,
      CLOCKS(MONOTONIC, REALTIME), CLOCKS(2, 4, 7, 11, 100, -1) },
    { "futex_wait", wait_on_one, NR_futex_wait, 0, LATE_RESULT, TIME, one_variants,
      CLOCKS(MONOTONIC, REALTIME), CLOCKS(2, 4, 7, 11, 100, -1) },
    { "mq_timedsend", use_queue, NR_mq_timedsend, FULL_QUEUE, LATE_RESULT, TIME, queue_variants,
      CLOCKS(REALTIME), NO_CLOCKS },
    { "mq_timedreceive", use_queue, NR_mq_timedreceive, 0, LATE_RESULT, TIME, queue_variants,
      CLOCKS(REALTIME), NO_CLOCKS },
    { "timer", use_timer, NR_timer_settime, 0, 0, sizeof(struct span), timer_variants, ALL_CLOCKS,
      CLOCKS(2, 3, 4, 5, 6, 10, 12, 1000, -1, -2, -6) },
    { "timerfd", use_timerfd, NR_timerfd_settime, 0, 0, sizeof(struct span), timerfd_variants,
      ALL_CLOCKS, CLOCKS(2, 3, 4, 10, 12, -1) },
};
