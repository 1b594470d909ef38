/* Makes every call that takes an absolute time, with every clock and every kind of deadline.
 *
 *   waits REALTIME MONOTONIC BOOTTIME TAI [PART [stopped]]
 *       the nanoseconds by which each clock is shifted here, of which deadlines are made;
 *       PART: only rows whose names have this in them;
 *       stopped: by a forked process, which is stopped and continued all the time
 *
 * Prints one line a row: `HOW CALL VARIANT CLOCK KIND: WHAT HAPPENED`; HOW is in `waits/sites.h`.
 * Rows run many at once, on pairs of threads. Where calls do the same, lines are the same.
 */
#define _GNU_SOURCE
#include "waits/sites.h"
#include "waits/deadlines.h"
#include "waits/pair.h"
#include "waits/calls.h"
#include "waits/timers.h"
#include "waits/table.h"

#include <sys/sysinfo.h>
#include <sys/wait.h>

#define PAIRS 96
#define ROWS 8192

static struct row rows[ROWS];
static unsigned row_count;
static atomic_uint next_task;
static long long shifts[12];
static const char *part = "";

static const char *clock_name(int clock, char *text)
{
    static const char *const names[] = {
        [REALTIME] = "REALTIME", [MONOTONIC] = "MONOTONIC", [BOOTTIME] = "BOOTTIME",
        [REALTIME_ALARM] = "REALTIME_ALARM", [BOOTTIME_ALARM] = "BOOTTIME_ALARM", [TAI] = "TAI",
    };

    if (clock >= 0 && clock <= TAI && names[clock])
        return names[clock];
    sprintf(text, "clock_%d", clock);
    return text;
}

static void name_row(const struct row *row, enum how how, char *text)
{
    char clock[32];

    sprintf(text, "%s %s %s %s %s", how_names[how], row->call->name, row->variant->name,
            clock_name(row->clock, clock), row->kind->name);
}

/* --- the deadline of a row, in its place --- */

static struct timespec deadline(struct pair *pair)
{
    const struct kind *kind = pair->row->kind;
    bool relative = is_relative(pair->row);
    struct timespec time = kind->time.value;
    long long base = relative ? 0 : pair->base, nanos;

    if (kind->from == WHOLE_SECOND)
        time.tv_sec = base / SECOND;
    if (kind->from == WHOLE_SECOND || kind->from == EPOCH)
        return time;
    if (kind->from == SHIFT)
        base = shifts[pair->row->clock];
    nanos = base + time.tv_sec * SECOND + time.tv_nsec;
    return time_of(nanos < 1 ? 1 : nanos);
}

static void *put(struct pair *pair, struct span *on_stack)
{
    const struct kind *kind = pair->row->kind;
    size_t size = pair->row->call->size, skip = sizeof *on_stack - size;
    struct memory *memory = &pair->memory;
    bool has_more = size == sizeof *on_stack && has_interval(pair->row->variant);
    char *at = NULL;

    memset(on_stack, 0, sizeof *on_stack);
    on_stack->value = deadline(pair);
    if (has_more)
        settle(pair, on_stack);
    switch (has_more && kind->place == CONSTANT ? STACK : kind->place) {
    case STACK:
        return (char *)on_stack + skip;
    case CONSTANT:
        return (char *)&kind->time + skip;
    case POINTER_ITSELF:
        return kind->time.value.tv_nsec ? memory->no_access + kind->time.value.tv_sec
                                        : (void *)kind->time.value.tv_sec;
    case READ_ONLY:
    case EDGE:
        at = memory->page + 4096 - size;
        break;
    case ODD:
        at = memory->page + 64 - 5;
        break;
    case STRADDLING:
        at = memory->page + 4096 - size * 3 / 4;
        break;
    case STRADDLING_HALF:
        at = memory->page + 4096 - size / 2;
        break;
    }
    memcpy(at, (char *)on_stack + skip,
           kind->place == STRADDLING ? size * 3 / 4
           : kind->place == STRADDLING_HALF ? size / 2 : size);
    return kind->place == READ_ONLY ? memory->read_only + (at - memory->page) : at;
}

/* --- one call --- */

static void make(struct pair *pair, char *outcome, size_t room)
{
    const struct row *row = pair->row;
    volatile long result = 0;
    struct span on_stack, copy;
    char page[4096];
    int crash;

    pair->remark[0] = 0;
    pair->kicks = pair->handled_wrongly = 0;
    pair->queue = -1;
    pair->base = now_on(row->clock);
    pair->spec = put(pair, &on_stack);
    pair->due = nanoseconds(on_stack.value);
    copy = on_stack;
    memcpy(page, pair->memory.page, sizeof page);

    set_job(pair, RUNNING);
    crash = sigsetjmp(pair->crash, 1);
    pair->may_crash = true;
    if (!crash)
        result = row->call->run(pair);
    pair->may_crash = false;
    set_job(pair, ENDED);
    wait_while(pair, ENDED);
    if (pair->queue >= 0)
        close(pair->queue);

    if ((memcmp(&copy, &on_stack, sizeof copy) || memcmp(page, pair->memory.page, sizeof page))
        && row->variant->how != OLD_IS_NEW)
        remark(pair, "TIME CHANGED");
    if (pair->handled_wrongly)
        remark(pair, "A HANDLER READ ANOTHER TIME");
    if (!crash && row->call->size == sizeof(struct timespec)) {
        bool expires = row->kind->end == RESTARTED
            || (row->kind->end == ITSELF && row->kind->groups & (GOOD | PAST | ZERO));

        if (expires && result == row->call->expired)
            remark_moment(pair, pair->due);
        else if (!expires && row->kind->end != ITSELF && row->variant->groups & INTERRUPTED
                 && result >= 0 && !pair->kicks)
            remark(pair, "WOKEN BY NOBODY");
        /* It may have expired before a signal met it. */
        if (row->kind->end == RESTARTED && result == -EINTR && is_interrupted_anyway(row)) {
            result = row->call->expired;
            remark(pair, "in time");
        }
    }
    snprintf(outcome, room, "%s%s%.*s", crash ? "CRASHED, signal " : "",
             crash ? strsignal(crash) : result < 0 ? error_name(-result)
                                      : result ? "positive" : "0",
             200, pair->remark);
}

static void make_row(struct pair *pair, const struct row *row, enum how how)
{
    char outcomes[3][320], line[1280];
    int times = how == FRESH && row->kind->end != RESTARTED ? 3 : 1, length;

    name_row(row, how, line);
    if (!strstr(line, part) || (how == FRESH && !row->number))
        return;
    pair->how = how;
    for (int i = 0; i < times; i++) {
        pair->row = row;
        make(pair, outcomes[i], sizeof outcomes[i]);
        pair->row = NULL;
    }
    length = strlen(line);
    length += sprintf(line + length, ": %s", outcomes[0]);
    for (int i = 1; i < times; i++)
        if (strcmp(outcomes[0], outcomes[1]) || strcmp(outcomes[0], outcomes[2]))
            length += sprintf(line + length, " | %s", outcomes[i]);
    line[length++] = '\n';
    if (write(1, line, length) != length)
        _exit(2);
}

static void *be_runner(void *argument)
{
    struct pair *pair = argument;
    sigset_t set;
    unsigned task;

    own = pair;
    pair->runner = syscall(SYS_gettid);
    sigemptyset(&set);
    sigaddset(&set, expiry_signal());
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    wait_while(pair, ENDED);
    while ((task = next_task++) < row_count * HOWS)
        make_row(pair, &rows[task / HOWS], task % HOWS);
    set_job(pair, QUIT);
    return NULL;
}

/* --- the table --- */

static void add(const struct call *call, const struct variant *variant, const struct kind *kind,
                int clock)
{
    static unsigned used[512];
    unsigned number = 0;

    if (variant == call->variants && kind->groups & FIRST)
        number = ++used[call->nr];
    if (row_count == ROWS || number == SITES) {
        fputs("the table is too long\n", stderr);
        exit(2);
    }
    rows[row_count++] = (struct row){ call, variant, kind, clock, number };
}

/* Whether a variant is made with this kind of deadline. */
static bool is_meant(const struct call *call, const struct variant *variant,
                     const struct kind *kind)
{
    unsigned chosen = variant->groups;

    if (call->size == sizeof(struct span) && kind->groups & INTERRUPTED)
        return false;
    if (chosen == (unsigned)ALL)
        return true;
    if (variant->how == RELATIVE && !(kind->groups & LASTING))
        return false;
    if (chosen & CHOICE && !(kind->groups & FEW))
        return false;
    return kind->groups & chosen;
}

static bool is_alarm(int clock)
{
    return clock == REALTIME_ALARM || clock == BOOTTIME_ALARM;
}

static void fill(void)
{
    /* A clock that is none is tried with times that end at once or are wrong. */
    const struct variant *variant;
    const int *clock;

    for (unsigned i = 0; i < sizeof calls / sizeof *calls; i++)
        for (unsigned k = 0; k < KINDS; k++) {
            for (variant = calls[i].variants; variant->name; variant++)
                for (clock = calls[i].clocks; *clock != NO_CLOCK; clock++)
                    if (is_meant(&calls[i], variant, &kinds[k])
                        && (!is_alarm(*clock) || variant < calls[i].variants + 2))
                        add(&calls[i], variant, &kinds[k], *clock);
            for (clock = calls[i].wrong_clocks; *clock != NO_CLOCK; clock++)
                if (kinds[k].groups & FEW && !(kinds[k].groups & GOOD))
                    add(&calls[i], calls[i].variants, &kinds[k], *clock);
        }
}

/* sysinfo(2) rounds up. */
static void compare_uptimes(void)
{
    struct sysinfo info;
    unsigned long before, after;

    before = (now_on(BOOTTIME) + SECOND - 1) / SECOND;
    sysinfo(&info);
    after = (now_on(BOOTTIME) + SECOND - 1) / SECOND;
    printf("libc sysinfo uptime: %s\n",
           (unsigned long)info.uptime - before <= after - before ? "agrees" : "DIFFERS");
    fflush(stdout);
}

static void handle(int number, void (*handler)(int), int flags)
{
    struct sigaction action = { .sa_handler = handler, .sa_flags = flags };

    sigaction(number, &action, NULL);
}

/* Uses the call sites that rows share. */
static void warm_up(void)
{
    static const struct timespec past[2] = { { 0, 0 }, { 0, 1 } };
    unsigned word = 42;

    for (int i = 0; i < 3; i++) {
        site(NR_clock_nanosleep, 0)(REALTIME, 1, (long)&past[1], 0, 0, 0);
        site(NR_clock_nanosleep, 0)(MONOTONIC, 1, (long)&past[1], 0, 0, 0);
        site(NR_futex, 0)((long)&word, FUTEX_WAIT_BITSET, 42, (long)&past[1], 0, ~0U);
        site(NR_futex, 0)((long)&word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 42,
                          (long)&past[1], 0, ~0U);
        site(NR_timer_settime, 0)(12345, 1, (long)past, 0, 0, 0);
        site(NR_timerfd_settime, 0)(-1, 1, (long)past, 0, 0, 0);
        site(NR_mq_timedsend, 0)(-1, (long)past, 8, 0, (long)&past[1], 0);
        site(NR_mq_timedreceive, 0)(-1, (long)past, 8, 0, (long)&past[1], 0);
        site(NR_futex_wait, 0)((long)&word, 42, ~0U, FUTEX_32, (long)&past[1], MONOTONIC);
        site(NR_futex_waitv, 0)((long)&word, 0, 0, (long)&past[1], MONOTONIC, 0);
    }
}

static int run_table(void)
{
    static struct pair pairs[PAIRS];

    for (int i = 0; i < PAIRS; i++) {
        map_memory(&pairs[i].memory);
        pairs[i].job = ENDED;
    }
    for (int i = 0; i < PAIRS; i++)
        if (pthread_create(&pairs[i].threads[0], NULL, be_runner, &pairs[i])
            || pthread_create(&pairs[i].threads[1], NULL, be_partner, &pairs[i]))
            return 2;
    for (int i = 0; i < PAIRS * 2; i++)
        pthread_join(pairs[i / 2].threads[i % 2], NULL);
    return 0;
}

/* Stops a process for a moment, again and again. */
static int keep_stopping(pid_t pid)
{
    struct timespec stopped = time_of(MILLISECOND), going = time_of(40 * MILLISECOND);
    int status;

    while (!waitpid(pid, &status, WNOHANG)) {
        kill(pid, SIGSTOP);
        nanosleep(&stopped, NULL);
        kill(pid, SIGCONT);
        nanosleep(&going, NULL);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 3;
}

int main(int argc, char **argv)
{
    int of[] = { REALTIME, MONOTONIC, BOOTTIME, TAI };
    pid_t pid;

    if (argc < 5)
        return 2;
    for (int i = 0; i < 4; i++)
        shifts[of[i]] = atoll(argv[1 + i]);
    shifts[REALTIME_ALARM] = shifts[REALTIME];
    shifts[BOOTTIME_ALARM] = shifts[BOOTTIME];
    if (argc > 5)
        part = argv[5];
    handle(SIGUSR1, on_signal, 0);
    handle(SIGUSR2, on_signal, SA_RESTART);
    handle(SIGSEGV, on_crash, SA_NODEFER);
    handle(SIGBUS, on_crash, SA_NODEFER);
    handle(SIGILL, on_crash, SA_NODEFER);

    fill();
    compare_uptimes();
    warm_up();
    if (argc > 6) {
        pid = fork();
        if (pid)
            return keep_stopping(pid);
    }
    return run_table();
}
