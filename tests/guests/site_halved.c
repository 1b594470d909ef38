/* Call sites whose patcher has died half-way: each is brought back to a state in between, and used.
 *
 * Prints `right N wrong N patched N`: how the calls at such sites ended, and how many sites led to the
 * gate by themselves. The host patches none.
 */
#include "timed.h"
#include "sites.h"
#include <fcntl.h>
#include <stdint.h>

static int memory, right, wrong;

static void store(const struct site *site, int place, unsigned char byte)
{
    /* Its pages are not writable, as a program's text seldom is. */
    if (pwrite(memory, &byte, 1, (off_t)(uintptr_t)site->mov + place) != 1)
        exit(3);
}

/* A wait whose time is past. */
static void use(const struct site *site)
{
    struct timespec time = at(now(CLOCK_REALTIME) - SECOND);
    int word = 0;
    long result, expected;

    if (site->nr == 230) {
        result = site->call(CLOCK_REALTIME, TIMER_ABSTIME, (long)&time, 0, 0, 0);
        expected = 0;
    } else {
        result = site->call((long)&word, FUTEX_WAIT_BITSET | FUTEX_REALTIME, 0, (long)&time, 0, -1);
        expected = -ETIMEDOUT;
    }
    if (result == expected)
        right++;
    else if (wrong++ < 10)
        fprintf(stderr, "nr %ld, %ld before 1 << %ld: %ld\n", site->nr, site->before, site->align, result);
}

/* Puts the jump in place up to `count` of its bytes, the last one first; 0 if that is all of it. */
static int halve(const struct site *site, const unsigned char *original, const unsigned char *jump, int count)
{
    for (int place = 0; place < 5; place++)
        store(site, place, original[place]);
    for (int place = 4; place >= 0 && count > 0; place--)
        if (original[place] != jump[place]) {
            store(site, place, jump[place]);
            count--;
        }
    return memcmp((const void *)site->mov, jump, 5) != 0;
}

int main(void)
{
    int patched = 0;

    memory = open("/proc/self/mem", O_RDWR);
    if (memory < 0)
        return 2;
    for (const struct site *site = sites; site < sites_end; site++) {
        unsigned char original[5], jump[5];

        memcpy(original, site->mov, 5);
        for (int i = 0; i < 4; i++)
            use(site);
        if (!is_patched(site))
            continue;
        patched++;
        memcpy(jump, site->mov, 5);
        for (int count = 1; halve(site, original, jump, count); count++) {
            use(site);
            if (memcmp(site->mov, jump, 5) && wrong++ < 10)
                fprintf(stderr, "nr %ld is not completed\n", site->nr);
        }
    }
    printf("right %d wrong %d patched %d\n", right, wrong, patched);
    return 0;
}
