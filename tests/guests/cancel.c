/* Cancels threads that wait for a time.
 *
 *   cancel blocked         while they wait, each call of the table, twice
 *   cancel race N [CALL]   at random moments around the call, N times
 *   cancel step            after each instruction of a wait whose time is past, by itself
 *   cancel disabled        while cancellation is disabled: the wait ends at its time
 *
 * Prints a line for each call, and for a race what was wrong, and lost (`lost.h`). `cancel.cpp` is the same with a
 * destructor in the waiting function, which has to run as well.
 */
#include "cancel.h"
