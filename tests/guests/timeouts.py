"""Waits of Python's library: makes each in a thread of its own, all at once, for as many
milliseconds as the argument says, and prints a line for each that ends: its name, what came of it,
and how many milliseconds it took; then all that once more. Those for which the thread matters come
first, one after the other.
"""

import asyncio
import concurrent.futures
import multiprocessing
import queue
import sched
import select
import signal
import socket
import subprocess
import sys
import threading
import time

wait = int(sys.argv[1]) / 1000


def measure(name, make):
    start = time.monotonic()
    try:
        result = make()
    except Exception as e:
        result = type(e).__name__
    took = int((time.monotonic() - start) * 1000)
    # One write a line, so that no other thread's comes between.
    sys.stdout.write(f"{name} {str(result).replace(' ', '')} {took}\n")
    sys.stdout.flush()


def with_lock(thing, act):
    with thing:
        return act(thing)


def held(lock):
    lock.acquire()
    return lock


def joined(worker):
    worker.start()
    worker.join(wait)
    return worker.is_alive()


# Another thread comes a minute before the deadline.
def notified(event):
    threading.Timer(wait, event.set).start()
    return event.wait(wait + 60)


def timer():
    done = threading.Event()
    threading.Timer(wait, done.set).start()
    done.wait()
    return "called"


def received():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        s.settimeout(wait)
        return s.recv(1)


def scheduled():
    scheduler = sched.scheduler(time.time, time.sleep)
    scheduler.enterabs(time.time() + wait, 0, lambda: None)
    scheduler.run()
    return "called"


async def called_at():
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    loop.call_at(loop.time() + wait, done.set_result, "called")
    return await done


async def condition():
    c = asyncio.Condition()
    async with c:
        return await asyncio.wait_for(c.wait(), wait)


def alarm(sets):
    """What a signal handler reads is the same time that the program reads."""
    seen = []
    signal.signal(signal.SIGALRM, lambda *_: seen.append((time.time(), time.monotonic())))
    before = time.time(), time.monotonic()
    sets()
    while not seen:
        signal.pause()
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    return all(wait <= b - a + 0.01 < 20 for a, b in zip(before, seen[0]))


def sigtimedwait():
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    return signal.sigtimedwait([signal.SIGUSR1], wait)


# `fork` is how they are made by default; `spawn` and `forkserver` start programs.
processes = multiprocessing.get_context("fork")


def polled():
    ours, _theirs = processes.Pipe()
    return ours.poll(wait)


def idle_process():
    process = processes.Process(target=time.sleep, args=(60,))
    process.start()
    process.join(wait)
    alive = process.is_alive()
    process.kill()
    process.join()
    return alive


in_first_thread = {
    "signal.setitimer": lambda: alarm(lambda: signal.setitimer(signal.ITIMER_REAL, wait)),
    "signal.sigtimedwait": sigtimedwait,
    "multiprocessing.Process.join": idle_process,
}

in_threads = {
    "time.sleep": lambda: time.sleep(wait),
    "threading.Lock.acquire": lambda: held(threading.Lock()).acquire(timeout=wait),
    "threading.RLock.acquire": lambda: rlock.acquire(timeout=wait),
    "threading.Semaphore.acquire": lambda: threading.Semaphore(0).acquire(timeout=wait),
    "threading.Event.wait": lambda: threading.Event().wait(wait),
    "threading.Event.set": lambda: notified(threading.Event()),
    "threading.Condition.wait": lambda: with_lock(threading.Condition(), lambda c: c.wait(wait)),
    "threading.Condition.wait_for": lambda: with_lock(
        threading.Condition(), lambda c: c.wait_for(lambda: False, wait)
    ),
    "threading.Barrier.wait": lambda: threading.Barrier(2).wait(wait),
    "threading.Thread.join": lambda: joined(
        threading.Thread(target=threading.Event().wait, daemon=True)
    ),
    "threading.Timer": timer,
    "queue.Queue.get": lambda: queue.Queue().get(timeout=wait),
    "queue.SimpleQueue.get": lambda: queue.SimpleQueue().get(timeout=wait),
    "sched.enterabs": scheduled,
    "select.select": lambda: select.select([], [], [], wait),
    "socket.settimeout": received,
    "subprocess.communicate": lambda: subprocess.run(["sleep", "60"], timeout=wait),
    "concurrent.futures.result": lambda: concurrent.futures.Future().result(wait),
    "concurrent.futures.wait": lambda: len(
        concurrent.futures.wait([concurrent.futures.Future()], wait).not_done
    ),
    "asyncio.sleep": lambda: asyncio.run(asyncio.sleep(wait, "slept")),
    "asyncio.wait_for": lambda: asyncio.run(asyncio.wait_for(asyncio.sleep(60), wait)),
    "asyncio.call_at": lambda: asyncio.run(called_at()),
    "asyncio.Condition.wait": lambda: asyncio.run(condition()),
    "multiprocessing.Lock.acquire": lambda: held(processes.Lock()).acquire(timeout=wait),
    "multiprocessing.Semaphore.acquire": lambda: processes.Semaphore(0).acquire(timeout=wait),
    "multiprocessing.Event.wait": lambda: processes.Event().wait(wait),
    "multiprocessing.Condition.wait": lambda: with_lock(
        processes.Condition(), lambda c: c.wait(wait)
    ),
    "multiprocessing.Queue.get": lambda: processes.Queue().get(timeout=wait),
    "multiprocessing.Connection.poll": polled,
}

rlock = held(threading.RLock())
for _ in range(2):
    for name, make in in_first_thread.items():
        measure(name, make)
    threads = [threading.Thread(target=measure, args=item) for item in in_threads.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
