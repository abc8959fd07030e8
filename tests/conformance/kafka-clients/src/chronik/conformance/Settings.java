package chronik.conformance;

import java.util.Map;
import java.util.TreeMap;
import kafka.server.KafkaConfig;
import org.apache.kafka.common.security.auth.SecurityProtocol;
import org.apache.kafka.common.test.api.ClusterConfig;

/** The settings that a test's annotation asks for, as far as one broker that is a process can be given them. */
final class Settings {
    /** The number of the one broker: tests that write one down write 0. */
    static final int NODE_ID = 0;

    private final ClusterConfig config;
    private final Map<String, String> asked;

    /** Names that Apache Kafka does not know either are left out, as it ignores them. Aborts the test when a setting names a class that the test would bring into the broker. */
    Settings(ClusterConfig config) {
        this.config = config;
        asked = new TreeMap<>(config.serverProperties());
        asked.putAll(config.perServerOverrideProperties().getOrDefault(NODE_ID, Map.of()));
        asked.keySet().retainAll(KafkaConfig.configDef().names());
        asked.forEach(Settings::refuseClassOfTests);
        asked.replaceAll(Settings::forOneBroker);
    }

    Map<String, String> asked() {
        return asked;
    }

    ClusterConfig config() {
        return config;
    }

    boolean plaintext() {
        return config.brokerSecurityProtocol() == SecurityProtocol.PLAINTEXT;
    }

    /** The tests' clusters often have three brokers; what says how many copies there are is brought down to one. */
    private static String forOneBroker(String name, String value) {
        boolean copies = name.endsWith("replication.factor") || name.endsWith("min.isr") || name.equals("min.insync.replicas");
        return copies ? "1" : value;
    }

    private static void refuseClassOfTests(String name, String value) {
        for (String part : value.split(",")) {
            if (part.startsWith("org.apache.kafka.") && comesFromTests(part)) {
                throw new Skip("gives the broker a Java class of the test's own: " + name);
            }
        }
    }

    private static boolean comesFromTests(String name) {
        try {
            Class<?> found = Class.forName(name, false, Settings.class.getClassLoader());
            return found.getProtectionDomain().getCodeSource().getLocation().getPath().endsWith("-test.jar");
        } catch (ClassNotFoundException e) {
            return false;
        }
    }
}
