/* Times as a program states them, where they lie, and what became of them.
 *
 *   now+MS, now-MS      from the clock's time, or from 0 if the call takes a relative time
 *   SEC:NSEC            as it stands
 *   null, one, guard, straddling, kernel, strange     no time, but an address
 *
 * with `@heap`, `@readonly`, `@odd` or `@last` behind it for a time that is not on the stack.
 */
#ifndef FUZZ_TIMES_H
#define FUZZ_TIMES_H

#include "state.h"

#define PAGE 4096
#define SECOND 1000000000LL

struct given {
    /* What the call is told. */
    void *at;
    int is_time, is_absolute, clock;
    struct timespec value;
    struct timespec began;
    char here[64];
};

/* Where nothing may be read, behind a page that may: far from any stack, close above which a bad time
 * is a fault in a namespace of ours (LIMITATIONS.md). */
static char *guard_page(void)
{
    static char *pages;

    if (!pages) {
        pages = mmap(NULL, 128 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (pages == MAP_FAILED || mprotect(pages + 63 * PAGE, PAGE, PROT_READ | PROT_WRITE))
            die("guard");
    }
    return pages + 64 * PAGE;
}

static void *bad_address(const char *name)
{
    if (!strcmp(name, "null"))
        return NULL;
    if (!strcmp(name, "one"))
        return (void *)1;
    if (!strcmp(name, "guard"))
        return guard_page();
    if (!strcmp(name, "straddling"))
        return guard_page() - 8;
    if (!strcmp(name, "kernel"))
        return (void *)0xffff800000000000;
    if (!strcmp(name, "strange"))
        return (void *)0x0123456789abcdef;
    return (void *)-1;
}

static struct timespec now_of(int clock)
{
    struct timespec now = { 0, 0 };

    clock_gettime(clock, &now);
    return now;
}

static long long nanos(struct timespec time)
{
    return time.tv_sec * SECOND + time.tv_nsec;
}

/* Puts what a call is to read in its place. */
static void place(struct given *given, const char *where, const void *bytes, size_t len)
{
    char *at = given->here;

    if (!strcmp(where, "heap"))
        at = malloc(len);
    else if (!strcmp(where, "odd"))
        at = (char *)malloc(len + 3) + 3;
    else if (!strcmp(where, "last"))
        at = guard_page() - len;
    else if (!strcmp(where, "readonly"))
        at = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(at, bytes, len);
    if (!strcmp(where, "readonly"))
        mprotect(at, PAGE, PROT_READ);
    given->at = at;
}

/* `interval_ms` is -1 for a plain time; else it is a timer's. */
static void give(struct given *given, const char *word, int clock, int is_absolute,
                 long interval_ms)
{
    char text[128];
    const char *where = "stack";
    long long sec, nsec, ms;
    char *behind;

    memset(given, 0, sizeof *given);
    given->clock = clock;
    given->is_absolute = is_absolute;
    given->began = now_of(CLOCK_MONOTONIC);
    snprintf(text, sizeof text, "%s", word);
    behind = strchr(text, '@');
    if (behind) {
        *behind = 0;
        where = behind + 1;
    }
    if (sscanf(text, "now%lld", &ms) == 1) {
        struct timespec base = { 0, 0 };

        if (is_absolute)
            base = now_of(clock);
        nsec = base.tv_nsec + ms % 1000 * 1000000;
        sec = base.tv_sec + ms / 1000 + (nsec >= SECOND) - (nsec < 0);
        nsec = (nsec + SECOND) % SECOND;
    } else if (sscanf(text, "%lld:%lld", &sec, &nsec) != 2) {
        given->at = bad_address(text);
        return;
    }
    given->is_time = 1;
    given->value = (struct timespec){ sec, nsec };
    if (interval_ms < 0) {
        place(given, where, &given->value, sizeof given->value);
    } else {
        struct itimerspec spec = { { interval_ms / 1000, interval_ms % 1000 * 1000000 },
                                   given->value };

        place(given, where, &spec, sizeof spec);
    }
}

/* Whether a wait that says it is over is, and whether it took much too long. */
static const char *moment(const struct given *given)
{
    long long took = nanos(now_of(CLOCK_MONOTONIC)) - nanos(given->began), asked;
    struct timespec now;

    if (!given->is_time)
        return took > 5 * SECOND ? "LATE" : "at once";
    if (given->is_absolute) {
        now = now_of(given->clock);
        if (now.tv_sec < given->value.tv_sec ||
            (now.tv_sec == given->value.tv_sec && now.tv_nsec < given->value.tv_nsec))
            return "EARLY";
    } else {
        asked = given->value.tv_sec > 1000 ? 1000 * SECOND : nanos(given->value);
        if (took < asked)
            return "EARLY";
    }
    return took > 5 * SECOND ? "LATE" : "reached";
}

/* A remaining time, told as coarsely as it is certain. */
static const char *about(struct timespec left)
{
    static _Thread_local char text[4][32];
    static _Thread_local int turn;
    char *to = text[turn++ & 3];

    if (left.tv_sec < 0 || left.tv_nsec < 0 || left.tv_nsec >= SECOND)
        return "NO TIME";
    if (left.tv_sec < 9)
        return "soon";
    if (left.tv_sec > 100000)
        return "far";
    snprintf(to, sizeof text[0], "%ld s", (long)(left.tv_sec + 10) / 20 * 20);
    return to;
}

#endif
