// Reads the time of day and the monotonic clock ten thousand times.
package main

import "time"

func main() {
	for i := 0; i < 10000; i++ {
		if time.Now().IsZero() {
			panic("no time")
		}
	}
}
