package chronik.conformance;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import org.apache.kafka.common.test.api.ClusterConfig;

/** One broker with a directory and a port of its own. It may be stopped and started again on both. */
abstract class BrokerProcess {
    private static final AtomicInteger COUNT = new AtomicInteger();
    private static int nextPort = Integer.getInteger("conformance.port.first", 0);

    final Settings settings;
    final Path directory;
    private final int port = freePort();

    /** The kind of broker that the run is against: Apache Kafka, ours, or none at all when tests are only listed. */
    static BrokerProcess create(ClusterConfig config) throws Exception {
        Settings settings = new Settings(config);
        String kind = System.getProperty("conformance.against");
        switch (kind) {
            case "list":
                throw new Skip("listed: " + settings.asked());
            case "kafka":
                return new Kafka(settings);
            case "chronik":
                return new Chronik(settings);
            default:
                throw new IllegalArgumentException("no broker is called " + kind);
        }
    }

    BrokerProcess(Settings settings) throws IOException {
        this.settings = settings;
        // A machine that a test has hung leaves its brokers' data behind: those of the next one are not among them.
        String name = "broker-" + ProcessHandle.current().pid() + "-" + COUNT.incrementAndGet();
        directory = Path.of(System.getProperty("conformance.directory"), name);
        Files.createDirectories(directory);
    }

    /** Started and serving when it returns. */
    abstract void start() throws Exception;

    /** A clean stop; nothing when it is stopped already. */
    abstract void stop();

    abstract boolean running();

    final int port() {
        return port;
    }

    final String bootstrap() {
        return "localhost:" + port;
    }

    /** Takes what it stored away. The log of a broker whose test failed can be kept with {@code -Dconformance.keep=true}. */
    final void remove() {
        if (Boolean.getBoolean("conformance.keep")) {
            return;
        }
        try (Stream<Path> paths = Files.walk(directory)) {
            for (Path path : paths.sorted(Comparator.reverseOrder()).toList()) {
                Files.deleteIfExists(path);
            }
        } catch (IOException e) {
            System.err.println("left behind: " + directory + ": " + e);
        }
    }

    static boolean listens(int port) {
        try (Socket ignored = new Socket(InetAddress.getLoopbackAddress(), port)) {
            return true;
        } catch (IOException e) {
            return false;
        }
    }

    /** Ports in turn, so that none is used again while connections of an earlier test still linger. */
    static synchronized int freePort() {
        int first = Integer.getInteger("conformance.port.first");
        int last = Integer.getInteger("conformance.port.last");
        for (int tried = first; tried <= last; tried++) {
            int port = nextPort;
            nextPort = port == last ? first : port + 1;
            try (ServerSocket socket = new ServerSocket(port, 1, InetAddress.getLoopbackAddress())) {
                return socket.getLocalPort();
            } catch (IOException taken) {
                continue;
            }
        }
        throw new IllegalStateException("no free port from " + first + " to " + last);
    }
}
