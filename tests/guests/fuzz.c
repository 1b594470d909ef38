/* Does what short programs of time calls say, and prints what comes of it.
 *
 *   fuzz FILE JOBS        every program in FILE; a line `--` stands between two
 *
 * Prints the programs' outputs in their order, each behind a line `== NUMBER` and before a line with
 * its status. What is printed does not depend on where the clocks stand, nor on how fast things go.
 * A call a line; `fuzz/` has the calls, and do_line() their names.
 */
#define _GNU_SOURCE
#include "fuzz/state.h"
#include "fuzz/times.h"
#include "fuzz/reads.h"
#include "fuzz/waits.h"
#include "fuzz/timers.h"

#define PROGRAMS 4096
#define LINES 64
#define WORDS 8

/* The seconds that a program may take. */
#define LIMIT 10

static struct program { char *lines[LINES]; int count; FILE *output; pid_t pid; } programs[PROGRAMS];
static int program_count;
static const char *file;

static void run(const struct program *program, int from);

static struct rest { const struct program *program; int from; } rest;

static void *run_rest(void *nothing)
{
    run(rest.program, rest.from);
    return nothing;
}

/* Who goes on with the rest of the program. */
static void hand_over(const char *to, const struct program *program, int from)
{
    sigset_t usr1;
    pthread_t thread;
    char number[16], line[16];
    pid_t child;
    int status;

    if (!strcmp(to, "thread")) {
        rest = (struct rest){ program, from };
        if (pthread_create(&thread, NULL, run_rest, NULL))
            die("thread");
        sigemptyset(&usr1);
        sigaddset(&usr1, SIGUSR1);
        pthread_sigmask(SIG_BLOCK, &usr1, NULL);
        pthread_join(thread, NULL);
        _exit(0);
    }
    if (!strcmp(to, "exec")) {
        snprintf(number, sizeof number, "%d", (int)(program - programs));
        snprintf(line, sizeof line, "%d", from);
        execl("/proc/self/exe", "fuzz", file, number, line, NULL);
        die("exec");
    }
    child = fork();
    if (child < 0)
        die("fork");
    if (child == 0)
        return;
    waitpid(child, &status, 0);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

#define IS(name) (!strcmp(word[0], name))
#define NUMBER(n) ((int)strtol(word[n], NULL, 0))
#define SLOT(n) (NUMBER(n) & (SLOTS - 1))

static void do_line(char *word[WORDS], const struct program *program, int next)
{
    if (IS("get") || IS("raw") || IS("int80"))
        read_clock(word[0], NUMBER(1));
    else if (IS("rawbad"))
        read_badly(NUMBER(1), word[2]);
    else if (IS("res"))
        resolution(NUMBER(1));
    else if (IS("set"))
        set_clock(NUMBER(1), word[2]);
    else if (IS("settod"))
        set_time_of_day(word[1], word[2]);
    else if (IS("tod"))
        time_of_day();
    else if (IS("adj"))
        adjust(NUMBER(1), NUMBER(2));
    else if (IS("sysinfo"))
        uptime();
    else if (IS("times"))
        say("%s", times(&(struct tms){ 0 }) == (clock_t)-1 ? "FAILED" : "told");
    else if (IS("nosys"))
        say("%s", error_name(syscall(NUMBER(1), 1L, 2L, 3L)));
    else if (IS("brk"))
        say("%s", (void *)syscall(SYS_brk, 0L) == sbrk(0) ? "stays" : "MOVED");
    else if (IS("sleep") || IS("rawsleep"))
        sleep_until(word[0], NUMBER(1), NUMBER(2), word[3]);
    else if (IS("futex"))
        wait_for_word(NUMBER(1), NUMBER(2), word[3]);
    else if (IS("waitv"))
        wait_for_words(NUMBER(1), NUMBER(2), word[3]);
    else if (IS("futex2"))
        wait_by_futex2(NUMBER(1), NUMBER(2), word[3]);
    else if (IS("mq_receive") || IS("mq_send") || IS("rawreceive") || IS("rawsend"))
        wait_for_message(word[0], word[1]);
    else if (IS("sem") || IS("cond") || IS("mutex"))
        wait_by_libc(word[0], NUMBER(1), word[2]);
    else if (IS("nap") || IS("poll") || IS("select"))
        nap(word[0], NUMBER(1));
    else if (IS("timer"))
        make_timer(SLOT(1), NUMBER(2));
    else if (IS("tset"))
        set_timer(SLOT(1), NUMBER(2), word[3], NUMBER(4), word[5]);
    else if (IS("tget"))
        ask_timer(SLOT(1));
    else if (IS("tawait"))
        await_timer(SLOT(1));
    else if (IS("tsignal"))
        await_signal(NUMBER(1), NUMBER(2), word[3]);
    else if (IS("tdelete"))
        delete_timer(SLOT(1));
    else if (IS("fd"))
        make_timerfd(SLOT(1), NUMBER(2));
    else if (IS("fdset"))
        set_timerfd(SLOT(1), NUMBER(2), word[3], NUMBER(4), word[5]);
    else if (IS("fdget"))
        ask_timerfd(SLOT(1));
    else if (IS("fdread"))
        read_timerfd(SLOT(1));
    else if (IS("alarm"))
        alarm_ms = NUMBER(1), alarm_restarts = !strcmp(word[2], "restart");
    else if (IS("holder"))
        need_holder();
    else if (IS("fork") || IS("thread") || IS("exec"))
        hand_over(word[0], program, next);
    else {
        say("NO SUCH CALL");
        _exit(3);
    }
}

static void run(const struct program *program, int from)
{
    for (int i = from; i < program->count; i++) {
        char text[256], *word[WORDS], *at = text;

        snprintf(text, sizeof text, "%s", program->lines[i]);
        for (int n = 0; n < WORDS; n++) {
            word[n] = strtok_r(n ? NULL : text, " ", &at);
            if (!word[n])
                word[n] = "";
        }
        line_text = program->lines[i];
        line_number = i + 1;
        do_line(word, program, i + 1);
    }
}

static void read_programs(void)
{
    static char line[256];
    FILE *from = fopen(file, "re");

    if (!from)
        die(file);
    program_count = 1;
    while (fgets(line, sizeof line, from)) {
        struct program *program = &programs[program_count - 1];

        line[strcspn(line, "\n")] = 0;
        if (!strcmp(line, "--"))
            program_count++;
        else if (*line && *line != '#' && program->count < LINES)
            program->lines[program->count++] = strdup(line);
        if (program_count == PROGRAMS)
            break;
    }
    fclose(from);
}

/* Each in a process of its own, which is killed when it takes too long. */
static void start(struct program *program)
{
    program->output = tmpfile();
    if (!program->output)
        die("tmpfile");
    program->pid = fork();
    if (program->pid < 0)
        die("fork");
    if (program->pid)
        return;
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(fileno(program->output), 1);
    alarm(LIMIT);
    run(program, 0);
    _exit(0);
}

static void finish(struct program *program)
{
    char text[4096];
    size_t len;
    int status;

    siginfo_t how;

    while (waitid(P_PID, program->pid, &how, WEXITED | WNOWAIT))
        ;
    /* What it has forked, too, if it has ended for its limit. */
    kill(-program->pid, SIGKILL);
    waitpid(program->pid, &status, 0);
    printf("== %d\n", (int)(program - programs));
    rewind(program->output);
    while ((len = fread(text, 1, sizeof text, program->output)) > 0)
        fwrite(text, 1, len, stdout);
    fclose(program->output);
    if (WIFEXITED(status))
        printf("ended with %d\n", WEXITSTATUS(status));
    else
        printf("ended by signal %d\n", WTERMSIG(status));
    fflush(stdout);
}

int main(int count, char **words)
{
    int jobs, started = 0;

    if (count < 3)
        return 3;
    give_up_setting_clocks();
    file = words[1];
    read_programs();
    if (count > 3) {
        run(&programs[atoi(words[2])], atoi(words[3]));
        _exit(0);
    }
    jobs = atoi(words[2]);
    for (int i = 0; i < program_count; i++) {
        while (started < program_count && started < i + jobs)
            start(&programs[started++]);
        finish(&programs[i]);
    }
    return 0;
}
