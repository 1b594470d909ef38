/* A library whose call site is used, and which then makes way for another at the same place.
 *
 *   site_library ROUNDS LIBRARY COPY
 *
 * LIBRARY is this file, linked as one. COPY is made from it, and its site's bytes mean something
 * else. Each round loads the one, uses it, unloads it and loads the other. Prints how often each was
 * right, how often both lay at the same address, and how often the first one's site was patched.
 */
#include "timed.h"

#ifdef LIBRARY
__asm__(".globl library_wait\n.type library_wait, @function\n.p2align 6\n"
        "library_wait: mov %rcx, %r10\n mov $230, %eax\n syscall\n ret\n");
#else
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>

static const unsigned char site[] = { 0xb8, 0xe6, 0, 0, 0, 0x0f, 0x05, 0xc3 };
/* mov $42, %eax; nop; nop; ret */
static const unsigned char other[] = { 0xb8, 42, 0, 0, 0, 0x90, 0x90, 0xc3 };

typedef long wait_call(long clock, long flags, const struct timespec *time, long rest);

static void copy_changed(const char *from, const char *to)
{
    static unsigned char bytes[1 << 20];
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_EXCL, 0755);
    ssize_t size = read(in, bytes, sizeof bytes);
    unsigned char *found = size > 0 ? memmem(bytes, (size_t)size, site, sizeof site) : NULL;

    if (!found)
        exit(3);
    memcpy(found, other, sizeof other);
    if (write(out, bytes, (size_t)size) != size || close(in) || close(out))
        exit(3);
}

int main(int argc, char **argv)
{
    int rounds = argc == 4 ? atoi(argv[1]) : 0, right = 0, answers = 0, same = 0, patched = 0;

    if (argc != 4)
        return 2;
    copy_changed(argv[2], argv[3]);
    for (int i = 0; i < rounds; i++) {
        void *library = dlopen(argv[2], RTLD_NOW), *place;
        wait_call *wait = (wait_call *)dlsym(library, "library_wait");

        for (int n = 0; n < 3; n++) {
            long long deadline = now(CLOCK_REALTIME) + (n ? MILLISECOND : -SECOND);
            struct timespec time = at(deadline);
            long result = wait(CLOCK_REALTIME, TIMER_ABSTIME, &time, 0);

            right += result == 0 && !strcmp(when(CLOCK_REALTIME, deadline), "in time");
        }
        patched += ((const volatile unsigned char *)wait)[3] == 0xe9;
        place = (void *)wait;
        dlclose(library);
        library = dlopen(argv[3], RTLD_NOW);
        wait = (wait_call *)dlsym(library, "library_wait");
        same += place == (void *)wait;
        answers += wait(0, 0, NULL, 0) == 42;
        dlclose(library);
    }
    printf("right %d answers %d same %d patched %d\n", right, answers, same, patched);
    return 0;
}
#endif
