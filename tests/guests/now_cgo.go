// Prints the time of day as Go and as C see it; built with CGO_ENABLED=1.
package main

/*
#include <time.h>
static long long seconds(void) { struct timespec ts; clock_gettime(CLOCK_REALTIME, &ts); return ts.tv_sec; }
*/
import "C"

import (
	"fmt"
	"time"
)

func main() {
	now := time.Now()
	fmt.Printf("%d.%09d\n", now.Unix(), now.Nanosecond())
	fmt.Printf("%d\n", int64(C.seconds()))
}
