package chronik.conformance;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.apache.kafka.common.test.JaasUtils;
import org.apache.kafka.server.common.MetadataVersion;

/** Apache Kafka, broker and controller in one, in the process of {@link KafkaHost}. */
final class Kafka extends BrokerProcess {
    private final Path properties;
    private boolean running;

    Kafka(Settings settings) throws Exception {
        super(settings);
        properties = directory.resolve("server.properties");
        try (var out = Files.newBufferedWriter(properties)) {
            file().store(out, null);
        }
        // Tests that name no version mean the newest, finished or not; the reference is Apache Kafka as it ships.
        MetadataVersion asked = settings.config().metadataVersion();
        MetadataVersion version = asked.isLessThan(MetadataVersion.latestProduction()) ? asked : MetadataVersion.latestProduction();
        String features = settings.config().features().entrySet().stream()
            .map(feature -> feature.getKey().featureName() + "=" + feature.getValue())
            .collect(Collectors.joining(","));
        KafkaHost.tell("format", properties.toString(), version.version(), features.isEmpty() ? "-" : features);
    }

    private Properties file() throws IOException {
        String listener = settings.config().brokerListenerName().value();
        String protocol = settings.config().brokerSecurityProtocol().name;
        int controllerPort = freePort();
        Map<String, String> values = new TreeMap<>();
        values.put("process.roles", "broker,controller");
        values.put("node.id", String.valueOf(Settings.NODE_ID));
        values.put("controller.quorum.voters", Settings.NODE_ID + "@localhost:" + controllerPort);
        values.put("listeners", listener + "://" + bootstrap() + ",CONTROLLER://localhost:" + controllerPort);
        values.put("advertised.listeners", listener + "://" + bootstrap());
        values.put("listener.security.protocol.map", listener + ":" + protocol + ",CONTROLLER:PLAINTEXT");
        values.put("inter.broker.listener.name", listener);
        values.put("controller.listener.names", "CONTROLLER");
        values.put("log.dirs", directory.resolve("data").toString());
        values.put("offsets.topic.replication.factor", "1");
        values.put("transaction.state.log.replication.factor", "1");
        values.put("transaction.state.log.min.isr", "1");
        values.put("share.coordinator.state.topic.replication.factor", "1");
        values.put("share.coordinator.state.topic.min.isr", "1");
        values.put("log.cleaner.dedupe.buffer.size", "2097152");
        if (!settings.plaintext()) {
            values.put("sasl.enabled.mechanisms", "PLAIN");
            values.put("sasl.mechanism.inter.broker.protocol", "PLAIN");
            values.put("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer");
            // Broker and controller are one process and trust each other.
            values.put("super.users", "User:" + JaasUtils.KAFKA_PLAIN_ADMIN + ";User:ANONYMOUS");
            values.put("listener.name." + listener.toLowerCase() + ".plain.sasl.jaas.config", users());
        }
        values.putAll(settings.asked());
        Properties file = new Properties();
        file.putAll(values);
        return file;
    }

    /** The users that the tests' clients log in as. */
    private static String users() {
        String admin = JaasUtils.KAFKA_PLAIN_ADMIN;
        return "org.apache.kafka.common.security.plain.PlainLoginModule required"
            + " username=\"" + admin + "\" password=\"" + JaasUtils.KAFKA_PLAIN_ADMIN_PASSWORD + "\""
            + " user_" + admin + "=\"" + JaasUtils.KAFKA_PLAIN_ADMIN_PASSWORD + "\""
            + " user_" + JaasUtils.KAFKA_PLAIN_USER1 + "=\"" + JaasUtils.KAFKA_PLAIN_USER1_PASSWORD + "\";";
    }

    @Override
    void start() throws Exception {
        KafkaHost.tell("start", properties.toString());
        running = true;
    }

    @Override
    void stop() {
        if (running) {
            running = false;
            KafkaHost.tell("stop");
        }
    }

    @Override
    boolean running() {
        return running;
    }
}
