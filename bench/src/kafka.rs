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

/// Formats a data directory and gives the command that starts the broker on it.
pub(crate) fn prepare(jars: &Path, directory: &Path, port: u16, controller_port: u16) -> Result<Command> {
    let properties = directory.join("server.properties");
    fs::write(&properties, settings(&directory.join("data"), port, controller_port))?;
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

fn settings(data: &Path, port: u16, controller_port: u16) -> String {
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
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
num.recovery.threads.per.data.dir=2
offsets.topic.replication.factor=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
log.retention.hours=168
log.segment.bytes=1073741824
log.retention.check.interval.ms=300000
",
        data = data.display()
    )
}
