// Tickers that say `BACK` if a clock steps back.
package main

import (
	"fmt"
	"time"
)

func main() {
	for i := 0; i < 5; i++ {
		go func(who int) {
			last := time.Now()
			for now := range time.NewTicker(100 * time.Millisecond).C {
				if now.Sub(last) < 0 {
					fmt.Println("BACK", who, now.Sub(last))
				}
				fmt.Println("tick", who, now.Sub(last))
				last = now
			}
		}(i)
	}
	last := time.Now()
	for {
		now := time.Now()
		if now.Sub(last) < 0 {
			fmt.Println("BACK", now.Sub(last))
		}
		last = now
		time.Sleep(10 * time.Microsecond)
	}
}
