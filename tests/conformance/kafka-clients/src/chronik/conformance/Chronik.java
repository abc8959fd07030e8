package chronik.conformance;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.FeatureUpdate;
import org.apache.kafka.server.common.MetadataVersion;

/** Our own server. */
final class Chronik extends BrokerProcess {
    private static final long READY_MS = 30_000;
    private static final long STOP_S = 30;
    private static final int REFUSED_SETTINGS = 3;

    /**
     * Settings that are not handed on, by the beginning of their names. Most classes give them to every test, also to those that use
     * nothing of what they are about; a test that does use it fails by itself.
     */
    private static final List<String> NOT_HANDED_ON = List.of(
        // transactions; the newer group protocol; share groups
        "transaction.", "transactional.", "group.consumer.", "group.coordinator.", "group.streams.", "group.share.", "share.coordinator.",
        // several brokers: copies, elections, heartbeats between nodes, a stop that hands partitions over
        "offsets.topic.replication.factor", "default.replication.factor", "min.insync.replicas", "replica.", "controlled.shutdown.",
        "unclean.leader.election.", "auto.leader.rebalance.", "broker.heartbeat.interval.ms", "broker.session.timeout.ms",
        // how soon chores of Apache Kafka's begin; here a deleted topic's files go at once
        "log.initial.task.delay.ms", "log.segment.delete.delay.ms",
        // Apache Kafka's own unfinished work
        "unstable.api.versions.enable", "unstable.feature.versions.enable"
    );

    private Process process;
    private boolean broughtDown;

    Chronik(Settings settings) throws IOException {
        super(settings);
        if (!settings.plaintext()) {
            throw new Skip("security: " + settings.config().brokerSecurityProtocol());
        }
        Files.writeString(directory.resolve("chronik.toml"), file());
    }

    private String file() {
        StringBuilder text = new StringBuilder("node_id = " + Settings.NODE_ID + "\n");
        text.append("[node.addresses]\nkafka = \"127.0.0.1:" + port() + "\"\n");
        text.append("[node.advertise]\nkafka = \"" + bootstrap() + "\"\n[kafka]\n");
        for (Map.Entry<String, String> setting : settings.asked().entrySet()) {
            if (NOT_HANDED_ON.stream().noneMatch(setting.getKey()::startsWith)) {
                text.append('"' + setting.getKey() + "\" = " + toml(setting.getValue()) + "\n");
            }
        }
        return text.toString();
    }

    /** Settings are text in a test's annotation; TOML tells numbers and truth from text. */
    private static String toml(String value) {
        return value.matches("true|false|-?[0-9]+") ? value : '"' + value + '"';
    }

    @Override
    void start() throws Exception {
        Path log = directory.resolve("broker.log");
        process = new ProcessBuilder(
            System.getProperty("conformance.server"), "start",
            "--config", directory.resolve("chronik.toml").toString(), "--data-dir", directory.resolve("data").toString()
        ).redirectErrorStream(true).redirectOutput(ProcessBuilder.Redirect.appendTo(log.toFile())).start();
        long deadline = System.currentTimeMillis() + READY_MS;
        while (!listens(port())) {
            if (!process.isAlive()) {
                ended(Files.readString(log));
            }
            if (System.currentTimeMillis() > deadline) {
                throw new IllegalStateException("not ready: " + Files.readString(log));
            }
            Thread.sleep(5);
        }
        if (!broughtDown) {
            bringDown(settings.config().metadataVersion());
            broughtDown = true;
        }
    }

    /** Apache Kafka gets an older level of its features when its data are formatted; ours begins with the newest. */
    private void bringDown(MetadataVersion version) throws Exception {
        if (!version.isLessThan(MetadataVersion.latestProduction())) {
            return;
        }
        FeatureUpdate down = new FeatureUpdate(version.featureLevel(), FeatureUpdate.UpgradeType.SAFE_DOWNGRADE);
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap()))) {
            admin.updateFeatures(Map.of(MetadataVersion.FEATURE_NAME, down)).all().get();
        }
    }

    /** A setting that the server does not know or take is a reason to skip; anything else is a failure. */
    private void ended(String log) {
        if (process.exitValue() == REFUSED_SETTINGS && log.contains("CHK01")) {
            Matcher refused = Pattern.compile("CHK01\\d\\d[^\\n]*").matcher(log);
            throw new Skip("a setting that is not served: " + (refused.find() ? refused.group() : log));
        }
        throw new IllegalStateException("ended with " + process.exitValue() + ": " + log);
    }

    @Override
    void stop() {
        if (!running()) {
            return;
        }
        process.destroy();
        try {
            if (!process.waitFor(STOP_S, TimeUnit.SECONDS)) {
                process.destroyForcibly();
                throw new IllegalStateException("did not stop on SIGTERM");
            }
        } catch (InterruptedException e) {
            process.destroyForcibly();
            Thread.currentThread().interrupt();
        }
    }

    @Override
    boolean running() {
        return process != null && process.isAlive();
    }
}
