// Prints the time of day; built with CGO_ENABLED=0.
package main

import (
	"fmt"
	"time"
)

func main() {
	now := time.Now()
	fmt.Printf("%d.%09d\n", now.Unix(), now.Nanosecond())
}
