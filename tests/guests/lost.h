/* Where a cancelled thread was: within a stub, of which no unwind table tells, C++ runs no clean-ups
 * (LIMITATIONS.md). `note_places` is called first. */
#ifndef LOST_H
#define LOST_H
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

/* Whether the thread that was cancelled last was at a place of which no unwind table tells. */
static volatile int is_lost;

#ifdef __cplusplus
/* glibc's handler by which one thread cancels another, until 2.41 wherever that is around its wait. */
typedef void cancel_handler(int, siginfo_t *, void *);
static cancel_handler *glibcs;

extern "C" const void *_Unwind_Find_FDE(void *, void *) __attribute__((weak));

static void note_place(int signal, siginfo_t *info, void *context)
{
    struct { void *text, *data, *function; } bases;
    const ucontext_t *interrupted = (const ucontext_t *)context;
    void *at = (void *)interrupted->uc_mcontext.gregs[REG_RIP];
    is_lost = _Unwind_Find_FDE != NULL && _Unwind_Find_FDE(at, &bases) == NULL;
    glibcs(signal, info, context);
}

/* As the kernel has it. */
struct action {
    cancel_handler *handler;
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
};

static void *wait_to_be_cancelled(void *nothing)
{
    while (nothing == NULL)
        pause();
    return NULL;
}

/* glibc installs it when a thread is cancelled first, and lets nobody look. */
static void note_places(void)
{
    enum { SIGCANCEL = 32 };
    pthread_t thread;
    struct action action;
    if (pthread_create(&thread, NULL, wait_to_be_cancelled, NULL) != 0)
        abort();
    pthread_cancel(thread);
    pthread_join(thread, NULL);
    if (syscall(SYS_rt_sigaction, SIGCANCEL, NULL, &action, sizeof action.mask) != 0)
        abort();
    if (action.handler == NULL)
        return;
    glibcs = action.handler;
    action.handler = note_place;
    if (syscall(SYS_rt_sigaction, SIGCANCEL, &action, NULL, sizeof action.mask) != 0)
        abort();
}
#else
static void note_places(void) { }
#endif

#endif
