/** Prints the time of day, as milliseconds and as an instant. */
public class Now {
    public static void main(String[] arguments) {
        long millis = System.currentTimeMillis();
        java.time.Instant now = java.time.Instant.now();
        System.out.printf("%d.%03d%n%d.%09d%n", millis / 1000, millis % 1000,
            now.getEpochSecond(), now.getNano());
    }
}
