/* The kinds of deadline, and where in memory they lie. */
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SECOND 1000000000LL
#define MILLISECOND 1000000LL
#define LATER 1000 /* seconds until a deadline that no test waits for */

/* What a kind is about; calls and variants choose by these. */
enum group {
    GOOD = 1,       /* a time to come */
    PAST = 2,
    WRONG = 4,      /* no time at all */
    POINTER = 8,    /* no memory */
    FAR = 16,       /* near the end of all time */
    INTERRUPTED = 32,
    ABSENT = 64,    /* no pointer */
    FEW = 128,      /* a choice for the variants that are wrong in another way */
    LASTING = 256,  /* valid also as a relative time */
    ZERO = 512,
    ADDRESS = 1024, /* a pointer that is the same in each run */
    FIRST = 2048,   /* also from a site of its own */
    ALL = ~0,
};

/* How a wait of this kind ends. */
enum end { ITSELF, SIGNALLED, RESTARTED, WOKEN };

/* Where the time lies. */
enum place { STACK, CONSTANT, READ_ONLY, EDGE, ODD, POINTER_ITSELF, STRADDLING, STRADDLING_HALF };

/* From which moment it counts. */
enum from { NOW, EPOCH, SHIFT, WHOLE_SECOND };

/* An itimerspec; its second half is what all other calls take. */
struct span { struct timespec interval, value; };

/* Without pointers, so that the linker has nothing to do here and all lies in `.rodata`. */
struct kind {
    char name[28];
    unsigned groups;
    enum end end;
    enum place place;
    enum from from;
    struct span time; /* its first number is the pointer itself where that is meant */
};

#define T(sec, nsec) { { 0, 0 }, { sec, nsec } }

static const struct kind kinds[] = {
    { "soon", FIRST | GOOD | FEW | LASTING, ITSELF, STACK, NOW, T(0, 40 * MILLISECOND) },
    { "soon_in_read_only_memory", GOOD | LASTING, ITSELF, READ_ONLY, NOW, T(0, 35 * MILLISECOND) },
    { "soon_at_the_edge_of_a_page", GOOD | LASTING, ITSELF, EDGE, NOW, T(0, 30 * MILLISECOND) },
    { "soon_unaligned", GOOD | LASTING, ITSELF, ODD, NOW, T(0, 30 * MILLISECOND) },
    { "soon_restarted", FIRST | INTERRUPTED | LASTING, RESTARTED, STACK, NOW, T(1, 0) },
    { "later_signalled", FIRST | INTERRUPTED | LASTING, SIGNALLED, STACK, NOW, T(LATER, 0) },
    { "later", FIRST | GOOD | LASTING, WOKEN, STACK, NOW, T(LATER, 0) },

    { "now", PAST, ITSELF, STACK, NOW, T(0, 0) },
    { "past", FIRST | PAST, ITSELF, STACK, NOW, T(-1, 0) },
    { "long_past", PAST, ITSELF, STACK, NOW, T(-1000000, 0) },
    { "second_1", PAST, ITSELF, CONSTANT, EPOCH, T(1, 0) },
    { "nanosecond_1", FIRST | PAST | FEW | LASTING, ITSELF, CONSTANT, EPOCH, T(0, 1) },
    { "zero", FIRST | ZERO | FEW | LASTING, ITSELF, CONSTANT, EPOCH, T(0, 0) },
    { "shift_less_1", PAST, ITSELF, STACK, SHIFT, T(0, -1) },
    { "shift", PAST, ITSELF, STACK, SHIFT, T(0, 0) },
    { "shift_and_1", PAST, ITSELF, STACK, SHIFT, T(0, 1) },

    { "nsec_1e9", FIRST | WRONG | FEW | LASTING, ITSELF, STACK, WHOLE_SECOND, T(0, SECOND) },
    { "nsec_-1", WRONG | LASTING, ITSELF, STACK, WHOLE_SECOND, T(0, -1) },
    { "nsec_max", WRONG | LASTING, ITSELF, STACK, WHOLE_SECOND, T(0, LONG_MAX) },
    { "nsec_min", WRONG | LASTING, ITSELF, STACK, WHOLE_SECOND, T(0, LONG_MIN) },
    { "nsec_1_above_32_bits", WRONG | LASTING, ITSELF, STACK, WHOLE_SECOND, T(0, (1LL << 32) + 1) },
    { "sec_-1", WRONG | LASTING, ITSELF, CONSTANT, EPOCH, T(-1, 0) },
    { "sec_-1_nsec_999999999", WRONG | LASTING, ITSELF, CONSTANT, EPOCH, T(-1, SECOND - 1) },
    { "sec_min", WRONG | LASTING, ITSELF, CONSTANT, EPOCH, T(LONG_MIN, 0) },
    { "sec_max_nsec_1e9", WRONG | LASTING, ITSELF, CONSTANT, EPOCH, T(LONG_MAX, SECOND) },

    { "sec_max", FIRST | FAR | LASTING, WOKEN, CONSTANT, EPOCH, T(LONG_MAX, 0) },
    { "sec_max_nsec_max", FAR | LASTING, WOKEN, CONSTANT, EPOCH, T(LONG_MAX, SECOND - 1) },
    { "ktime_max", FAR | LASTING, WOKEN, CONSTANT, EPOCH, T(9223372036, 854775807) },
    { "ktime_max_and_1", FAR | LASTING, WOKEN, CONSTANT, EPOCH, T(9223372036, 854775808) },
    { "ktime_max_less_1", FAR | LASTING, WOKEN, CONSTANT, EPOCH, T(9223372036, 854775806) },
    { "ktime_max_and_1s", FAR | LASTING, WOKEN, CONSTANT, EPOCH, T(9223372037, 0) },
    { "ktime_max_less_1y", FAR | LASTING, WOKEN, CONSTANT, EPOCH, T(9191836036, 0) },

    { "null", FIRST | ADDRESS | ABSENT | FEW | LASTING, WOKEN, POINTER_ITSELF, EPOCH, T(0, 0) },
    { "pointer_1", FIRST | ADDRESS | POINTER | FEW | LASTING, ITSELF, POINTER_ITSELF, EPOCH,
      T(1, 0) },
    { "pointer_-1", ADDRESS | POINTER | LASTING, ITSELF, POINTER_ITSELF, EPOCH, T(-1, 0) },
    { "pointer_to_kernel", ADDRESS | POINTER | LASTING, ITSELF, POINTER_ITSELF, EPOCH,
      T(LONG_MIN / 2, 0) },
    { "pointer_not_canonical", ADDRESS | POINTER | LASTING, ITSELF, POINTER_ITSELF, EPOCH,
      T(1LL << 62, 0) },
    { "pointer_past_the_user", ADDRESS | POINTER | LASTING, ITSELF, POINTER_ITSELF, EPOCH,
      T((1LL << 47) - 8, 0) },
    { "pointer_to_nothing", ADDRESS | POINTER | LASTING, ITSELF, POINTER_ITSELF, EPOCH,
      T(0x20008, 0) },
    { "pointer_to_no_access", POINTER | LASTING, ITSELF, POINTER_ITSELF, EPOCH, T(8, 1) },
    { "straddling", FIRST | POINTER | LASTING, ITSELF, STRADDLING, NOW, T(0, 40 * MILLISECOND) },
    { "straddling_half", POINTER | LASTING, ITSELF, STRADDLING_HALF, NOW, T(0, 40 * MILLISECOND) },
};
#define KINDS (sizeof kinds / sizeof *kinds)

/* Memory of one runner: a page to write, the same to read, and one without access. */
struct memory { char *page, *read_only, *no_access; };

static void map_memory(struct memory *memory)
{
    int fd = memfd_create("deadlines", MFD_CLOEXEC);
    char *at;

    if (fd < 0 || ftruncate(fd, 4096))
        exit(2);
    /* Each usable page has one after it that cannot be read. */
    at = mmap(NULL, 4 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memory->page = mmap(at, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
    memory->no_access = at + 4096;
    memory->read_only = mmap(at + 2 * 4096, 4096, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0);
    if (memory->page != at || memory->read_only != at + 2 * 4096)
        exit(2);
    close(fd);
}

static long long nanoseconds(struct timespec time)
{
    if (time.tv_sec < 0 || time.tv_sec > LLONG_MAX / SECOND - 1 || time.tv_nsec < 0
        || time.tv_nsec > SECOND)
        return LLONG_MAX; /* wrong, or far enough */
    return time.tv_sec * SECOND + time.tv_nsec;
}

static struct timespec time_of(long long nanos)
{
    return (struct timespec){ nanos / SECOND, nanos % SECOND };
}

/* The reading of a clock on which a deadline counts; an ALARM clock has its sibling's. */
static long long now_on(int clock)
{
    struct timespec now;

    clock = clock == 8 ? CLOCK_REALTIME : clock == 9 ? CLOCK_BOOTTIME : clock;
    if (clock_gettime(clock, &now))
        clock_gettime(CLOCK_MONOTONIC, &now);
    return nanoseconds(now);
}
