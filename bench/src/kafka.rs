//! Apache Kafka as it ships: the settings of its `config/server.properties`, the heap and collector of its start script
//! (`-Xmx1G -Xms1G`, G1; `bin/kafka-server-start.sh`, `bin/kafka-run-class.sh` of 4.3.0). Its log of itself is quieter.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

const CLUSTER_ID: &str = "Y2hyb25pay1yZWZlcmVuYw";
const HEAP: &[&str] = &["-Xmx1G", "-Xms1G"];
const JVM: &[&str] = &[
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-XX:MaxInlineLevel=15",
    "-Djava.awt.headless=true",
];
const LOGGING: &str = "status = error
appender.stderr.type = Console
appender.stderr.name = STDERR
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
rootLogger.level = warn
rootLogger.appenderRef.stderr.ref = STDERR
";

/// A broker that is a controller too.
pub(crate) struct Node {
    pub(crate) id: usize,
    pub(crate) port: u16,
    /// The controllers' ports of all nodes, by ascending id from 1.
    pub(crate) controllers: Vec<u16>,
}

impl Node {
    pub(crate) fn alone(port: u16, controller_port: u16) -> Node {
        Node { id: 1, port, controllers: vec![controller_port] }
    }
}

/// Formats a data directory and gives the command that starts the broker on it.
pub(crate) fn prepare(jars: &Path, directory: &Path, node: &Node) -> Result<Command> {
    let properties = directory.join("server.properties");
    fs::write(&properties, settings(&directory.join("data"), node))?;
    fs::write(directory.join("log4j2.properties"), LOGGING)?;
    let mut format = java(jars, directory, &["-Xmx256m"]);
    format.args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"]).arg(&properties);
    let output = format.stdin(Stdio::null()).output().context("java does not start")?;
    ensure!(output.status.success(), "formatting failed: {}", String::from_utf8_lossy(&output.stderr));
    let mut command = java(jars, directory, HEAP);
    command.arg("kafka.Kafka").arg(properties);
    Ok(command)
}

fn java(jars: &Path, directory: &Path, heap: &[&str]) -> Command {
    let mut command = Command::new("java");
    command
        .args(heap)
        .args(JVM)
        .arg(format!("-Dlog4j2.configurationFile={}", directory.join("log4j2.properties").display()))
        .arg("-cp")
        .arg(format!("{}/*", jars.display()));
    command
}

/// On several nodes everything has three copies, two of which have to be in sync, as on ours.
fn settings(data: &Path, node: &Node) -> String {
    let Node { id, port, controllers } = node;
    let controller_port = controllers[id - 1];
    let voters: Vec<_> = controllers.iter().zip(1..).map(|(port, id)| format!("{id}@127.0.0.1:{port}")).collect();
    let (copies, in_sync) = if controllers.len() > 1 { (3, 2) } else { (1, 1) };
    format!(
        "process.roles=broker,controller
node.id={id}
controller.quorum.voters={voters}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
num.network.threads=3
num.io.threads=8
socket.send.buffer.bytes=102400
socket.receive.buffer.bytes=102400
socket.request.max.bytes=104857600
log.dirs={data}
num.partitions=1
default.replication.factor={copies}
min.insync.replicas={in_sync}
num.recovery.threads.per.data.dir=2
offsets.topic.replication.factor={copies}
share.coordinator.state.topic.replication.factor={copies}
share.coordinator.state.topic.min.isr={in_sync}
transaction.state.log.replication.factor={copies}
transaction.state.log.min.isr={in_sync}
log.retention.hours=168
log.segment.bytes=1073741824
log.retention.check.interval.ms=300000
",
        voters = voters.join(","),
        data = data.display()
    )
}
