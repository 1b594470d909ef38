# Threads, children and programs that keep time, and say `BACK` if a clock steps back that may not.
import os, subprocess, threading, time


def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def reads(who):
    last = time.monotonic_ns()
    while True:
        now = time.monotonic_ns()
        if now < last:
            say("BACK", who, last - now)
        last = now
        time.sleep(0.0001)


def waits(who):
    condition = threading.Condition()
    while True:
        until = time.monotonic() + 0.1
        with condition:
            while time.monotonic() < until:
                condition.wait(until - time.monotonic())
        say(who, "waited")


for number in range(3):
    threading.Thread(target=waits, args=(number,), daemon=True).start()
threading.Thread(target=reads, args=("thread",), daemon=True).start()
if os.fork() == 0:
    reads("child")
while True:
    # A program that starts has the same clocks. The time of day is the host's after a restore, which may come
    # in between.
    before = time.time()
    said = subprocess.run(["date", "+%s.%N"], capture_output=True, text=True, check=True).stdout
    after = time.time()
    if after < before:
        say("STEP", before, after)
    elif not before - 0.01 < float(said) < after + 0.01:
        say("BACK date", said.strip(), before, after)
    say("date")
    time.sleep(0.1)
