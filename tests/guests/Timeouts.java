import java.util.Date;
import java.util.Timer;
import java.util.TimerTask;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executors;
import java.util.concurrent.Semaphore;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.LockSupport;
import java.util.concurrent.locks.ReentrantLock;

import static java.util.concurrent.TimeUnit.MILLISECONDS;

/**
 * Waits of Java's library: makes each in a thread of its own, all at once, for as many milliseconds
 * as the argument says, and prints a line for each that ends: its name, what came of it, and how
 * many milliseconds it took; then the same wait once more.
 */
public class Timeouts {
    private static long ms;

    private interface Wait {
        Object make() throws Exception;
    }

    private static void measure(String name, Wait wait) {
        new Thread(() -> {
            measureOnce(name, wait);
            measureOnce(name, wait);
        }).start();
    }

    private static void measureOnce(String name, Wait wait) {
        long start = System.nanoTime();
        Object result;
        try {
            result = wait.make();
        } catch (Exception e) {
            result = e.getClass().getSimpleName();
        }
        long took = (System.nanoTime() - start) / 1_000_000;
        System.out.println(name + " " + result + " " + took);
    }

    /** A park may end early for no reason, so it is made until the time has come. */
    private static String parkUntil() {
        long deadline = System.currentTimeMillis() + ms;
        while (System.currentTimeMillis() < deadline) {
            LockSupport.parkUntil(deadline);
        }
        return "parked";
    }

    private static String parkNanos() {
        long deadline = System.nanoTime() + ms * 1_000_000;
        for (long left = deadline - System.nanoTime(); left > 0;
             left = deadline - System.nanoTime()) {
            LockSupport.parkNanos(left);
        }
        return "parked";
    }

    /** Another thread comes a minute before the deadline. */
    private static boolean unparked() {
        AtomicBoolean met = new AtomicBoolean();
        Thread waiter = Thread.currentThread();
        Executors.newSingleThreadScheduledExecutor(Timeouts::daemon).schedule(() -> {
            met.set(true);
            LockSupport.unpark(waiter);
        }, ms, MILLISECONDS);
        long deadline = System.currentTimeMillis() + 60_000;
        while (!met.get() && System.currentTimeMillis() < deadline) {
            LockSupport.parkUntil(deadline);
        }
        return met.get();
    }

    private static String objectWait() throws InterruptedException {
        Object monitor = new Object();
        long deadline = System.nanoTime() + ms * 1_000_000;
        synchronized (monitor) {
            for (long left = deadline - System.nanoTime(); left > 0;
                 left = deadline - System.nanoTime()) {
                monitor.wait(left / 1_000_000, (int) (left % 1_000_000));
            }
        }
        return "waited";
    }

    private static boolean awaitUntil() throws InterruptedException {
        ReentrantLock lock = new ReentrantLock();
        Date deadline = new Date(System.currentTimeMillis() + ms);
        lock.lock();
        boolean more = true;
        while (more) {
            more = lock.newCondition().awaitUntil(deadline);
        }
        return more;
    }

    private static boolean await() throws InterruptedException {
        ReentrantLock lock = new ReentrantLock();
        lock.lock();
        return lock.newCondition().await(ms, MILLISECONDS);
    }

    private static Thread daemon(Runnable run) {
        Thread thread = new Thread(run);
        thread.setDaemon(true);
        return thread;
    }

    private static int schedule() throws InterruptedException, ExecutionException {
        return Executors.newSingleThreadScheduledExecutor(Timeouts::daemon)
            .schedule(() -> 42, ms, MILLISECONDS).get();
    }

    private static String scheduleAtFixedRate() throws InterruptedException {
        CountDownLatch three = new CountDownLatch(3);
        Executors.newSingleThreadScheduledExecutor(Timeouts::daemon)
            .scheduleAtFixedRate(three::countDown, ms / 2, ms / 2, MILLISECONDS);
        three.await();
        return "thrice";
    }

    private static String timerAtDate() throws InterruptedException {
        CountDownLatch once = new CountDownLatch(1);
        new Timer(true).schedule(new TimerTask() {
            @Override
            public void run() {
                once.countDown();
            }
        }, new Date(System.currentTimeMillis() + ms));
        once.await();
        return "once";
    }

    private static String sleep() throws InterruptedException {
        Thread.sleep(ms);
        return "slept";
    }

    private static boolean join() throws InterruptedException {
        Thread idler = daemon(LockSupport::park);
        idler.start();
        idler.join(ms);
        return idler.isAlive();
    }

    private static boolean processWaitFor() throws Exception {
        Process process = new ProcessBuilder("sleep", "60").start();
        boolean ended = process.waitFor(ms, MILLISECONDS);
        process.destroyForcibly().waitFor();
        return ended;
    }

    public static void main(String[] arguments) {
        ms = Long.parseLong(arguments[0]);
        measure("LockSupport.parkUntil", Timeouts::parkUntil);
        measure("LockSupport.parkNanos", Timeouts::parkNanos);
        measure("LockSupport.unpark", Timeouts::unparked);
        measure("Object.wait", Timeouts::objectWait);
        measure("Condition.awaitUntil", Timeouts::awaitUntil);
        measure("Condition.await", Timeouts::await);
        measure("ScheduledExecutor.schedule", Timeouts::schedule);
        measure("ScheduledExecutor.scheduleAtFixedRate", Timeouts::scheduleAtFixedRate);
        measure("Timer.schedule", Timeouts::timerAtDate);
        measure("Thread.sleep", Timeouts::sleep);
        measure("Thread.join", Timeouts::join);
        measure("Process.waitFor", Timeouts::processWaitFor);
        measure("Semaphore.tryAcquire", () -> new Semaphore(0).tryAcquire(ms, MILLISECONDS));
        measure("CountDownLatch.await", () -> new CountDownLatch(1).await(ms, MILLISECONDS));
        measure("SynchronousQueue.poll", () -> new SynchronousQueue<>().poll(ms, MILLISECONDS));
        measure("BlockingQueue.poll", () -> new ArrayBlockingQueue<>(1).poll(ms, MILLISECONDS));
        measure("CompletableFuture.get", () -> new CompletableFuture<>().get(ms, MILLISECONDS));
        measure("CompletableFuture.orTimeout",
            () -> new CompletableFuture<>().orTimeout(ms, MILLISECONDS).get());
        measure("CompletableFuture.completeOnTimeout",
            () -> new CompletableFuture<>().completeOnTimeout("late", ms, MILLISECONDS).get());
    }
}
