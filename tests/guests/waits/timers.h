/* timer_settime(2) and timerfd_settime(2): armed, asked for the rest, waited for. */

/* The kernel's struct sigevent. */
struct event { long value; int signal, notify, thread; char rest[44]; };

static int expiry_signal(void)
{
    return SIGRTMIN + 1;
}

static void settle(struct pair *pair, struct span *spec)
{
    int how = pair->row->variant->how;

    if (how == REPEATED)
        spec->interval = time_of(15 * MILLISECOND);
    if (how == BAD_INTERVAL)
        spec->interval.tv_nsec = SECOND;
    if (how == NEGATIVE_INTERVAL)
        spec->interval.tv_sec = -1;
}

static bool has_interval(const struct variant *variant)
{
    int how = variant->how;

    return how == REPEATED || how == BAD_INTERVAL || how == NEGATIVE_INTERVAL;
}

/* The next expiry, within patience; 0 is none. `id` is a timer or a descriptor. */
static long wait_for_expiry(struct pair *pair, int id, bool is_timerfd)
{
    struct timespec patience = time_of((lost < 20 ? PATIENCE_MS : 1000) * MILLISECOND);
    unsigned long long ticks = 0;
    struct span left;
    sigset_t set;
    siginfo_t info;

    if (pair->row->kind->groups & ZERO)
        patience = time_of(20 * MILLISECOND);
    if (is_timerfd) {
        struct pollfd poll = { id, POLLIN, 0 };

        if (pair->row->variant->how != READ && ppoll(&poll, 1, &patience, NULL) < 1)
            return 0;
        return read(id, &ticks, sizeof ticks) == sizeof ticks ? (long)ticks : 0;
    }
    if (pair->row->variant->how == SILENT) {
        /* It tells nobody, but has nothing left in the end. */
        for (int i = 0; i < (lost < 20 ? PATIENCE_MS : 1000) / 5; i++) {
            if (syscall(SYS_timer_gettime, id, &left))
                return 0;
            if (!left.value.tv_sec && !left.value.tv_nsec)
                return !(pair->row->kind->groups & ZERO);
            patience = time_of(5 * MILLISECOND);
            nanosleep(&patience, NULL);
        }
        return 0;
    }
    sigemptyset(&set);
    sigaddset(&set, expiry_signal());
    /* Not by the libc: musl's begins anew after a signal. */
    while (syscall(SYS_rt_sigtimedwait, &set, &info, &patience, 8) < 0)
        /* Being stopped ends it too. */
        if (errno != EINTR || pair->kicks)
            return 0;
    return 1L + info.si_overrun;
}

static long ask(int id, bool is_timerfd, struct span *left)
{
    return syscall(is_timerfd ? SYS_timerfd_gettime : SYS_timer_gettime, id, left);
}

static void watch(struct pair *pair, int id, bool is_timerfd)
{
    long ticks = wait_for_expiry(pair, id, is_timerfd);
    struct span left = { UNTOUCHED, UNTOUCHED }, spec;
    long long interval;
    char text[64];

    if (!ticks) {
        if (!(pair->row->kind->groups & ZERO))
            lost++;
        remark(pair, "silent");
        return;
    }
    memcpy(&spec, pair->spec, sizeof spec);
    interval = spec.interval.tv_nsec;
    remark(pair, "expired");
    remark_moment(pair, pair->due);
    if (interval) {
        while (ticks < 3) {
            long more = wait_for_expiry(pair, id, is_timerfd);

            if (!more) {
                remark(pair, "silent later");
                return;
            }
            ticks += more;
        }
        remark_moment(pair, pair->due + 2 * interval);
        return;
    }
    if (ticks != 1) {
        snprintf(text, sizeof text, "%ld times", ticks);
        remark(pair, text);
    }
    ask(id, is_timerfd, &left);
    remark_span(pair, "then", &left);
}

static void arm(struct pair *pair, int id, bool is_timerfd)
{
    const struct row *row = pair->row;
    int how = row->variant->how, nr = is_timerfd ? NR_timerfd_settime : NR_timer_settime;
    struct span before = { { 7, 0 }, { 500, 0 } }, off = { { 0, 0 }, { 0, 0 } };
    struct span old = { UNTOUCHED, UNTOUCHED }, left = { UNTOUCHED, UNTOUCHED };
    long used = how == WRONG_ID ? 123456789 : how == NEGATIVE_ID ? -1 : how == OTHER_FILE ? 2
              : how == COPIED ? dup(id) : id;
    long result;

    syscall(nr, id, 0, &before, NULL);
    result = enter(pair, nr, wide(pair, used), wide(pair, row->variant->flags), (long)pair->spec,
                   how == NO_OLD ? 0 : how == BAD_OLD ? 1
                                 : how == OLD_IS_NEW ? (long)pair->spec : (long)&old, 0, 0);
    if (how == COPIED)
        close(used);
    remark(pair, result ? error_name(-result) : "armed");
    if (how == OLD_IS_NEW && !result)
        memcpy(&old, pair->spec, sizeof old);
    remark_span(pair, "before", &old);
    ask(id, is_timerfd, &left);
    /* A rest of some milliseconds is not the same twice. */
    if (left.value.tv_sec || row->kind->groups & (ZERO | WRONG | POINTER | ABSENT))
        remark_span(pair, "now", &left);
    if (!left.value.tv_sec && !(result && how != BAD_OLD && how != OLD_IS_NEW))
        watch(pair, id, is_timerfd);
    syscall(nr, id, 0, &off, &old);
    if (left.value.tv_sec)
        remark_span(pair, "at last", &old);
}

static long use_timer(struct pair *pair)
{
    struct event event = { 0, expiry_signal(), 4 /* SIGEV_THREAD_ID */, pair->runner, "" };
    struct timespec none = { 0, 0 };
    sigset_t set;
    int id;

    if (pair->row->variant->how == SILENT)
        event.notify = SIGEV_NONE;
    if (syscall(SYS_timer_create, pair->row->clock, &event, &id))
        return -errno;
    arm(pair, id, false);
    syscall(SYS_timer_delete, id);
    /* Linux before 6.13 leaves a signal of a deleted timer where it is. */
    sigemptyset(&set);
    sigaddset(&set, expiry_signal());
    while (sigtimedwait(&set, NULL, &none) > 0)
        continue;
    return 0;
}

static long use_timerfd(struct pair *pair)
{
    int fd = timerfd_create(pair->row->clock, TFD_CLOEXEC);

    if (fd < 0)
        return -errno;
    arm(pair, fd, true);
    close(fd);
    return 0;
}
