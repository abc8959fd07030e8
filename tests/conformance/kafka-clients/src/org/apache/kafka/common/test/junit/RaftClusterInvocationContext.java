package org.apache.kafka.common.test.junit;

import chronik.conformance.BrokerCluster;
import java.util.List;
import org.apache.kafka.common.test.api.ClusterConfig;
import org.junit.jupiter.api.extension.AfterEachCallback;
import org.junit.jupiter.api.extension.BeforeEachCallback;
import org.junit.jupiter.api.extension.Extension;
import org.junit.jupiter.api.extension.TestTemplateInvocationContext;

/**
 * The seam. Apache Kafka's tests speak to an interface, {@code ClusterInstance}; the class of this name and package is the one
 * that creates it. This one stands first on the class path: it gives each test a broker in a process of its own.
 */
public class RaftClusterInvocationContext implements TestTemplateInvocationContext {
    private final String name;
    private final ClusterConfig config;
    private final boolean combined;

    /** As the extension that reads the test's annotation calls it. */
    public RaftClusterInvocationContext(String name, ClusterConfig config, boolean combined) {
        this.name = name;
        this.config = config;
        this.combined = combined;
    }

    @Override
    public String getDisplayName(int invocationIndex) {
        return name + " [" + invocationIndex + "]";
    }

    @Override
    public List<Extension> getAdditionalExtensions() {
        BrokerCluster cluster = new BrokerCluster(config, combined);
        return List.of(
            (BeforeEachCallback) context -> {
                cluster.prepare();
                if (config.isAutoStart()) {
                    cluster.start();
                }
            },
            (AfterEachCallback) context -> cluster.stop(),
            new ClusterInstanceParameterResolver(cluster)
        );
    }
}
