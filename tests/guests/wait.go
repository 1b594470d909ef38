// Waits for absolute times by system calls of its own: those that the scheduler knows of, and raw
// ones. Prints a line for each.
package main

import (
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"
)

const (
	clockNanosleep = 230
	timerfdCreate  = 283
	timerfdSettime = 286
)

func main() {
	for i := 0; i < 6; i++ {
		call := syscall.Syscall6
		if i%2 == 1 {
			call = syscall.RawSyscall6
		}
		until := time.Now().Add(5 * time.Millisecond)
		spec := syscall.NsecToTimespec(until.UnixNano())
		_, _, errno := call(clockNanosleep, 0, 1, uintptr(unsafe.Pointer(&spec)), 0, 0, 0)
		// A signal of the scheduler's own may interrupt it.
		tell("clock_nanosleep", errno, until)

		fd, _, _ := syscall.Syscall(timerfdCreate, 0, 0, 0)
		until = time.Now().Add(5 * time.Millisecond)
		setting := [2]syscall.Timespec{{}, syscall.NsecToTimespec(until.UnixNano())}
		_, _, errno = call(timerfdSettime, fd, 1, uintptr(unsafe.Pointer(&setting)), 0, 0, 0)
		buffer := make([]byte, 8)
		syscall.Read(int(fd), buffer)
		syscall.Close(int(fd))
		tell("timerfd_settime", errno, until)
	}
	time.Sleep(5 * time.Millisecond)
	os.Exit(0)
}

func tell(name string, errno syscall.Errno, until time.Time) {
	late := time.Now().Round(0).Sub(until.Round(0))
	inTime := late >= 0 && late < 20*time.Second
	fmt.Println(name, errno == 0 || errno == syscall.EINTR, inTime || errno == syscall.EINTR)
}
