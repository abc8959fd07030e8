//! What has to be on the machine before anything can be fetched by a package manager.

use std::process::{Command, Stdio};

use anyhow::{Result, bail};

/// A program that is not ours to fetch.
struct Tool {
    program: &'static str,
    /// An invocation that succeeds exactly when the tool is there and usable.
    probe: &'static [&'static str],
    needed_for: &'static str,
    debian_package: &'static str,
}

const TOOLS: &[Tool] = &[
    Tool {
        program: "python3",
        probe: &["-c", "import ensurepip, venv"],
        needed_for: "the end-to-end cases, librdkafka and kafka-python",
        debian_package: "python3-venv",
    },
    Tool {
        program: "java",
        probe: &["-version"],
        needed_for: "Apache Kafka and its tools",
        debian_package: "openjdk-17-jdk-headless",
    },
    Tool {
        program: "mvn",
        probe: &["--version"],
        needed_for: "fetching Apache Kafka from Maven Central",
        debian_package: "maven",
    },
    Tool {
        program: "go",
        probe: &["version"],
        needed_for: "franz-go and Toxiproxy (Go 1.21 or later, which fetches the one that is asked for)",
        debian_package: "golang-go",
    },
    Tool {
        program: "npm",
        probe: &["--version"],
        needed_for: "fetching the sources of librdkafka with its tests",
        debian_package: "npm",
    },
    Tool {
        program: "g++",
        probe: &["--version"],
        needed_for: "building librdkafka's tests",
        debian_package: "build-essential",
    },
    Tool {
        program: "make",
        probe: &["--version"],
        needed_for: "building librdkafka's tests",
        debian_package: "build-essential",
    },
    Tool {
        program: "pkg-config",
        probe: &["--exists", "openssl", "zlib"],
        needed_for: "building librdkafka's tests with OpenSSL and zlib",
        debian_package: "pkg-config libssl-dev zlib1g-dev",
    },
];

/// Fails with the command that installs what is missing.
pub(crate) fn require() -> Result<()> {
    let missing: Vec<&Tool> = TOOLS.iter().filter(|tool| !present(tool)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let reasons: Vec<String> =
        missing.iter().map(|tool| format!("  {} is missing: needed for {}", tool.program, tool.needed_for)).collect();
    let packages: Vec<&str> = missing.iter().map(|tool| tool.debian_package).collect();
    bail!("\n{}\ninstall with:  apt-get install {}", reasons.join("\n"), packages.join(" "))
}

fn present(tool: &Tool) -> bool {
    Command::new(tool.program)
        .args(tool.probe)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
