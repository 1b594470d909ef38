/* The places from which a row's call is made.
 *
 * A patcher may replace the instruction before a `syscall`. Here it can for the sites of a table,
 * 11 bytes each, which cross cache lines and pages at every offset; it cannot for the last one.
 */
#include <errno.h>
#include <mqueue.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum {
    NR_futex = 202, NR_timer_settime = 223, NR_clock_nanosleep = 230, NR_mq_timedsend = 242,
    NR_mq_timedreceive = 243, NR_timerfd_settime = 286, NR_futex_waitv = 449, NR_futex_wait = 455,
};

#define SITES 256
#define SITE_SIZE 11
#define TEXT(x) #x
#define TEXT_OF(x) TEXT(x)

/* A site is a function of six arguments. */
#define TABLE(nr)                                                       \
    extern const char sites_##nr[];                                     \
    __asm__(".text\n\t.globl sites_" #nr "\nsites_" #nr ":\n\t"         \
            ".rept " TEXT_OF(SITES) "\n\t"                              \
            "mov %rcx, %r10\n\tmov $" #nr ", %eax\n\tsyscall\n\tret\n\t" \
            ".endr\n\t"                                                 \
            "mov $" #nr ", %eax\n\tmov %rcx, %r10\n\tsyscall\n\tret\n")
TABLE(202);
TABLE(223);
TABLE(230);
TABLE(242);
TABLE(243);
TABLE(286);
TABLE(449);
TABLE(455);

typedef long call_site(long, long, long, long, long, long);

/* Makes a call from a site and says what it left changed that a system call leaves alone: the
 * registers of its arguments, those that belong to callers, the flags, the red zone. */
long call_and_compare(call_site *, const long arguments[6], long *changed);
#define PATTERN "0x5a5a123456789a5a"
__asm__(".text\n"
        "call_and_compare:\n\t"
        "push %rbx\n\t push %rbp\n\t push %r12\n\t push %r13\n\t push %r14\n\t push %r15\n\t"
        "push %rdx\n\t push %rsi\n\t push %rdi\n\t"
        "movabs $" PATTERN ", %rbx\n\t"
        "lea 1(%rbx), %rbp\n\t lea 2(%rbx), %r12\n\t lea 3(%rbx), %r13\n\t"
        "lea 4(%rbx), %r14\n\t lea 5(%rbx), %r15\n\t"
        /* All of the site's red zone that is also within this one's. */
        "mov $-128, %rax\n"
        "1: mov %rbx, (%rsp, %rax)\n\t add $8, %rax\n\t cmp $-8, %rax\n\t jne 1b\n\t"
        "mov %rsi, %r11\n\t"
        "mov (%r11), %rdi\n\t mov 8(%r11), %rsi\n\t mov 16(%r11), %rdx\n\t"
        "mov 24(%r11), %rcx\n\t mov 32(%r11), %r8\n\t mov 40(%r11), %r9\n\t"
        "mov $0x7f, %al\n\t add $1, %al\n\t stc\n\t"
        "call *(%rsp)\n\t"
        "pushfq\n\t pop %r11\n\t and $0x8d5, %r11d\n\t xor $0x891, %r11d\n\t"
        "movabs $" PATTERN ", %rcx\n\t"
        "xor %rcx, %rbx\n\t or %rbx, %r11\n\t"
        "lea 1(%rcx), %rbx\n\t xor %rbp, %rbx\n\t or %rbx, %r11\n\t"
        "lea 2(%rcx), %rbx\n\t xor %r12, %rbx\n\t or %rbx, %r11\n\t"
        "lea 3(%rcx), %rbx\n\t xor %r13, %rbx\n\t or %rbx, %r11\n\t"
        "lea 4(%rcx), %rbx\n\t xor %r14, %rbx\n\t or %rbx, %r11\n\t"
        "lea 5(%rcx), %rbx\n\t xor %r15, %rbx\n\t or %rbx, %r11\n\t"
        "mov $-128, %rbx\n"
        "1: mov (%rsp, %rbx), %rbp\n\t xor %rcx, %rbp\n\t or %rbp, %r11\n\t"
        "add $8, %rbx\n\t cmp $-8, %rbx\n\t jne 1b\n\t"
        "mov 8(%rsp), %rcx\n\t"
        "xor (%rcx), %rdi\n\t or %rdi, %r11\n\t xor 8(%rcx), %rsi\n\t or %rsi, %r11\n\t"
        "xor 16(%rcx), %rdx\n\t or %rdx, %r11\n\t xor 24(%rcx), %r10\n\t or %r10, %r11\n\t"
        "xor 32(%rcx), %r8\n\t or %r8, %r11\n\t xor 40(%rcx), %r9\n\t or %r9, %r11\n\t"
        "mov 16(%rsp), %rcx\n\t mov %r11, (%rcx)\n\t"
        "add $24, %rsp\n\t"
        "pop %r15\n\t pop %r14\n\t pop %r13\n\t pop %r12\n\t pop %rbp\n\t pop %rbx\n\t"
        "ret\n");

/* How a row's call is made: from a site of its own, first and again; from one that all rows share;
 * from one that cannot be patched; by the libc. */
enum how { FRESH, SHARED, PLAIN_SITE, LIBC, HOWS };
static const char *const how_names[HOWS] = { "fresh", "shared", "plain", "libc" };
#define SHARED_SITE 0

static call_site *site(int nr, unsigned index)
{
    const char *table = nr == 202 ? sites_202 : nr == 223 ? sites_223 : nr == 230 ? sites_230
                      : nr == 242 ? sites_242 : nr == 243 ? sites_243 : nr == 286 ? sites_286
                      : nr == 449 ? sites_449 : sites_455;

    return (call_site *)(uintptr_t)(table + index * SITE_SIZE);
}

/* By the libc's function where it has one; the result is the system call's, as `-errno`. */
static long by_libc(int nr, long a, long b, long c, long d, long e, long f)
{
    long result;

    switch (nr) {
    case NR_clock_nanosleep:
        return -clock_nanosleep(a, b, (void *)c, (void *)d);
    case NR_timerfd_settime:
        result = timerfd_settime(a, b, (void *)c, (void *)d);
        break;
    case NR_mq_timedsend:
        result = mq_timedsend(a, (void *)b, c, d, (void *)e);
        break;
    case NR_mq_timedreceive:
        result = mq_timedreceive(a, (void *)b, c, (void *)d, (void *)e);
        break;
    case NR_timer_settime:
        /* The libcs keep threads of their own behind negative ids. */
        if ((int)a >= 0) {
            result = timer_settime((timer_t)(long)(int)a, b, (void *)c, (void *)d);
            break;
        }
        /* fall through */
    default:
        result = syscall(nr, a, b, c, d, e, f);
    }
    return result < 0 ? -errno : result;
}
