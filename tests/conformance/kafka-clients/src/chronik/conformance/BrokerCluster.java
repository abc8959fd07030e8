package chronik.conformance;

import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import kafka.server.ControllerServer;
import kafka.server.KafkaBroker;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.GroupProtocol;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.network.ListenerName;
import org.apache.kafka.common.test.ClusterInstance;
import org.apache.kafka.common.test.api.ClusterConfig;
import org.apache.kafka.common.test.api.Type;
import org.apache.kafka.server.authorizer.Authorizer;
import org.apache.kafka.server.fault.FaultHandlerException;
import org.apache.kafka.test.TestUtils;

/**
 * A cluster of one broker that is another process. What the interface would look up in the broker's own objects is asked over
 * Kafka's protocol; a test that wants the objects themselves is aborted, and reported as skipped with that reason.
 */
public final class BrokerCluster implements ClusterInstance {
    private static final long WAIT_MS = 30_000;
    /** No request tells how far a broker has applied its metadata log; on one node it follows within milliseconds. */
    private static final long METADATA_LAG_MS = 200;

    private final ClusterConfig config;
    private final boolean combined;
    private BrokerProcess broker;
    private boolean stopped;

    /** One for each invocation of a test; nothing is started yet. */
    public BrokerCluster(ClusterConfig config, boolean combined) {
        this.config = config;
        this.combined = combined;
    }

    /** Sets up a data directory with the settings that the test asks for, or aborts the test with the reason why not. */
    public void prepare() throws Exception {
        if (!combined && config.clusterTypes().contains(Type.CO_KRAFT)) {
            throw new Skip("the same test with a combined controller is run; a broker that is a process has no other kind");
        }
        if (broker == null) {
            broker = BrokerProcess.create(config);
        }
    }

    @Override
    public void start() {
        try {
            prepare();
            broker.start();
        } catch (RuntimeException e) {
            throw e;
        } catch (Exception e) {
            throw new IllegalStateException("the broker did not start", e);
        }
    }

    @Override
    public boolean started() {
        return broker != null && broker.running();
    }

    @Override
    public void stop() {
        if (broker != null && !stopped) {
            broker.stop();
            broker.remove();
        }
        stopped = true;
    }

    @Override
    public boolean stopped() {
        return stopped;
    }

    @Override
    public void shutdownBroker(int brokerId) {
        requireKnown(brokerId);
        if (config.numBrokers() == 2) {
            throw new Skip("stops one of two brokers, and there is one");
        }
        broker.stop();
    }

    @Override
    public void startBroker(int brokerId) {
        requireKnown(brokerId);
        start();
    }

    private static void requireKnown(int brokerId) {
        if (brokerId != Settings.NODE_ID) {
            throw new Skip("asks for broker " + brokerId + "; there is one, number " + Settings.NODE_ID);
        }
    }

    @Override
    public Type type() {
        return Type.CO_KRAFT;
    }

    @Override
    public ClusterConfig config() {
        return config;
    }

    @Override
    public Map<Integer, KafkaBroker> brokers() {
        return new OutsideMap<>("a broker", Set.of(Settings.NODE_ID));
    }

    @Override
    public Map<Integer, KafkaBroker> aliveBrokers() {
        return new OutsideMap<>("a broker", started() ? Set.of(Settings.NODE_ID) : Set.of());
    }

    @Override
    public Map<Integer, ControllerServer> controllers() {
        return new OutsideMap<>("a controller", Set.of(Settings.NODE_ID));
    }

    @Override
    public Set<Integer> controllerIds() {
        return Set.of(Settings.NODE_ID);
    }

    @Override
    public ListenerName clientListener() {
        return config.brokerListenerName();
    }

    @Override
    public ListenerName controllerListenerName() {
        return config.controllerListenerName();
    }

    @Override
    public String bootstrapServers() {
        return broker.bootstrap();
    }

    @Override
    public String bootstrapControllers() {
        throw new Skip("asks for a controller that is a node of its own");
    }

    @Override
    public List<Integer> brokerBoundPorts() {
        return List.of(broker.port());
    }

    @Override
    public List<Integer> controllerBoundPorts() {
        throw new Skip("asks for a controller that is a node of its own");
    }

    @Override
    public String clusterId() {
        return ask(admin -> admin.describeCluster().clusterId().get());
    }

    /** What the broker itself says: it serves the newer group protocol when it has made the feature of it final. */
    @Override
    public Set<GroupProtocol> supportedGroupProtocols() {
        var features = ask(admin -> admin.describeFeatures().featureMetadata().get()).finalizedFeatures();
        var groups = features.get("group.version");
        return groups != null && groups.maxVersionLevel() >= 1
            ? Set.of(GroupProtocol.CLASSIC, GroupProtocol.CONSUMER)
            : Set.of(GroupProtocol.CLASSIC);
    }

    @Override
    public Optional<FaultHandlerException> firstFatalException() {
        return Optional.empty();
    }

    @Override
    public Optional<FaultHandlerException> firstNonFatalException() {
        return Optional.empty();
    }

    /**
     * With as many replicas as there are brokers: one. Tests that name more to the broker itself get its answer. A topic that is there
     * already will do: some tests create theirs twice.
     */
    @Override
    public void createTopic(String topic, int partitions, short replicas, Map<String, String> configs) throws InterruptedException {
        ask(admin -> {
            try {
                return admin.createTopics(List.of(new NewTopic(topic, partitions, (short) 1).configs(configs))).all().get();
            } catch (ExecutionException e) {
                if (e.getCause() instanceof TopicExistsException) {
                    return null;
                }
                throw e;
            }
        });
        waitTopicCreation(topic, partitions);
    }

    @Override
    public void createTopicWithAssignment(String topic, Map<Integer, List<Integer>> assignment) throws InterruptedException {
        assignment.values().forEach(brokers -> brokers.forEach(BrokerCluster::requireKnown));
        ClusterInstance.super.createTopicWithAssignment(topic, assignment);
    }

    @Override
    public void waitForReadyBrokers() {
        ask(admin -> admin.describeCluster().nodes().get());
    }

    @Override
    public void waitTopicCreation(String topic, int partitions) throws InterruptedException {
        try (Admin admin = admin()) {
            TestUtils.waitForCondition(() -> {
                try {
                    var found = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions();
                    return found.size() == partitions && found.stream().allMatch(partition -> partition.leader() != null);
                } catch (ExecutionException e) {
                    return waitOn(e);
                }
            }, WAIT_MS, "no topic " + topic + " with " + partitions + " partitions");
        }
    }

    @Override
    public void waitTopicDeletion(String topic) throws InterruptedException {
        try (Admin admin = admin()) {
            TestUtils.waitForCondition(() -> {
                try {
                    admin.describeTopics(List.of(topic)).allTopicNames().get();
                    return false;
                } catch (ExecutionException e) {
                    return !waitOn(e);
                }
            }, WAIT_MS, "topic " + topic + " is still there");
        }
    }

    /** False, to wait on, when the topic is not known; every other failure is the test's. */
    private static boolean waitOn(ExecutionException failure) {
        if (failure.getCause() instanceof UnknownTopicOrPartitionException) {
            return false;
        }
        throw new IllegalStateException(failure.getCause());
    }

    @Override
    public void ensureConsistentMetadata() throws InterruptedException {
        Thread.sleep(METADATA_LAG_MS);
    }

    @Override
    public void ensureConsistentMetadata(Collection<KafkaBroker> brokers, Collection<ControllerServer> controllers) throws InterruptedException {
        ensureConsistentMetadata();
    }

    @Override
    public List<Authorizer> authorizers() {
        throw new Skip("looks at an authorizer inside the broker");
    }

    @Override
    public void waitAcls(AclBindingFilter filter, Collection<AccessControlEntry> entries) throws InterruptedException {
        Set<AccessControlEntry> expected = Set.copyOf(entries);
        try (Admin admin = admin()) {
            TestUtils.waitForCondition(() -> {
                var found = admin.describeAcls(filter).values().get();
                return found.stream().map(AclBinding::entry).collect(java.util.stream.Collectors.toSet()).equals(expected);
            }, WAIT_MS, "the ACLs are not " + expected);
        }
    }

    private interface Question<T> {
        T put(Admin admin) throws Exception;
    }

    private <T> T ask(Question<T> question) {
        try (Admin admin = admin()) {
            return question.put(admin);
        } catch (Exception e) {
            throw new IllegalStateException(e);
        }
    }
}
