/** Reads the time of day and the monotonic clock ten thousand times. */
public class Reads {
    public static void main(String[] args) {
        long sum = 0;
        for (int i = 0; i < 10000; i++) {
            sum += System.currentTimeMillis() + System.nanoTime();
        }
        System.exit(sum == 0 ? 1 : 0);
    }
}
