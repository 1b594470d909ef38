import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;

/** Tasks at a fixed rate that say `BACK` if a clock steps back. */
class Restored {
    public static void main(String[] arguments) throws InterruptedException {
        ScheduledExecutorService executor = Executors.newScheduledThreadPool(3);
        for (int i = 0; i < 3; i++) {
            int who = i;
            long[] last = {System.nanoTime()};
            executor.scheduleAtFixedRate(() -> {
                long now = System.nanoTime();
                System.out.println((now < last[0] ? "BACK " : "tick ") + who + " " + (now - last[0]));
                last[0] = now;
            }, 0, 100, TimeUnit.MILLISECONDS);
        }
        Thread.sleep(Long.MAX_VALUE);
    }
}
