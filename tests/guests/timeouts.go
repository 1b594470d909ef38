// Waits of Go's library: makes each in a goroutine of its own, all at once, for as many
// milliseconds as the argument says, and prints a line for each that ends: its name, what came of
// it, and how many milliseconds it took; then the same wait once more.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"time"
)

var wait time.Duration

func sleep() string {
	time.Sleep(wait)
	return "slept"
}

func after() string {
	<-time.After(wait)
	return "fired"
}

func timer() string {
	timer := time.NewTimer(time.Hour)
	timer.Reset(wait)
	<-timer.C
	return "fired"
}

func stopped() string {
	timer := time.NewTimer(time.Minute)
	time.Sleep(wait)
	return fmt.Sprintf("stopped:%t", timer.Stop())
}

func ticker() string {
	ticker := time.NewTicker(wait / 2)
	defer ticker.Stop()
	for i := 0; i < 3; i++ {
		<-ticker.C
	}
	return "thrice"
}

func afterFunc() string {
	done := make(chan string)
	time.AfterFunc(wait, func() { done <- "called" })
	return <-done
}

// The deadline comes from a time without a monotonic reading, so from the time of day alone.
func wallDeadline() string {
	ctx, cancel := context.WithDeadline(context.Background(), time.Now().Add(wait).Round(0))
	defer cancel()
	<-ctx.Done()
	return fmt.Sprintf("deadline:%t", errors.Is(ctx.Err(), context.DeadlineExceeded))
}

func timeout() string {
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	<-ctx.Done()
	return fmt.Sprintf("deadline:%t", errors.Is(ctx.Err(), context.DeadlineExceeded))
}

// Another goroutine comes a minute before the deadline.
func cancelled() string {
	ctx, cancel := context.WithTimeout(context.Background(), wait+time.Minute)
	time.AfterFunc(wait, cancel)
	<-ctx.Done()
	return fmt.Sprintf("cancelled:%t", errors.Is(ctx.Err(), context.Canceled))
}

func readDeadline() string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "no_socket"
	}
	defer listener.Close()
	connection, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		return "no_connection"
	}
	defer connection.Close()
	connection.SetReadDeadline(time.Now().Add(wait))
	_, err = connection.Read(make([]byte, 1))
	return fmt.Sprintf("deadline:%t", errors.Is(err, os.ErrDeadlineExceeded))
}

func command() string {
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	err := exec.CommandContext(ctx, "sleep", "60").Run()
	return fmt.Sprintf("killed:%t", err != nil)
}

func main() {
	ms, _ := strconv.Atoi(os.Args[1])
	wait = time.Duration(ms) * time.Millisecond
	waits := map[string]func() string{
		"time.Sleep":           sleep,
		"time.After":           after,
		"time.Timer":           timer,
		"time.Timer.Stop":      stopped,
		"time.Ticker":          ticker,
		"time.AfterFunc":       afterFunc,
		"context.WithDeadline": wallDeadline,
		"context.WithTimeout":  timeout,
		"context.WithCancel":   cancelled,
		"net.SetReadDeadline":  readDeadline,
		"exec.CommandContext":  command,
	}
	var all sync.WaitGroup
	for name, make := range waits {
		all.Add(1)
		go func(name string, make func() string) {
			defer all.Done()
			for round := 0; round < 2; round++ {
				start := time.Now()
				result := make()
				fmt.Println(name, result, time.Since(start).Milliseconds())
			}
		}(name, make)
	}
	all.Wait()
}
