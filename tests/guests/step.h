/* Has the processor trap after each instruction, or no longer (EFLAGS.TF); x86-64. */
#ifndef STEP_H
#define STEP_H

/* To be called where rsp is not what the frame is found by. */
static inline __attribute__((always_inline)) void step(int is_on)
{
    __asm__ volatile("lea -128(%%rsp), %%rsp\n\tpushfq\n\tandq $~0x100, (%%rsp)\n\torq %0, (%%rsp)\n\t"
                     "popfq\n\tlea 128(%%rsp), %%rsp" ::"r"(is_on ? 0x100L : 0L)
                     : "memory", "cc");
}

#endif
