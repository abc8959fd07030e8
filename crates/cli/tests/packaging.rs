//! What is shipped beside the binary, held against the binary and the tree: no engine and no service manager needed.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use common::Workplace;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Lines without comments and blank ones; lines that end in a backslash are joined with the next.
fn lines(text: &str) -> Vec<String> {
    text.replace("\\\n", " ")
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

/// Every variable that the binary reads.
fn variables() -> BTreeSet<String> {
    let run = Workplace::new().run(&["config", "env", "-o", "json"], &[]);
    let listed: Vec<serde_json::Value> = serde_json::from_str(&run.stdout).expect("JSON");
    listed.iter().map(|entry| entry["variable"].as_str().expect("a name").to_owned()).collect()
}

/// Every `CHRONIK_…` word in `text`.
fn named_variables(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| word.starts_with("CHRONIK_") && word.len() > "CHRONIK_".len())
        .map(str::to_owned)
        .collect()
}

/// Runs a shipped command line as far as it can be checked without starting anything.
#[track_caller]
fn is_a_valid_start(command: &str, workplace: &Workplace) {
    let words: Vec<&str> = command.split_whitespace().collect();
    let (program, arguments) = words.split_first().expect("a command");
    assert!(program.ends_with("chronik-server"), "{program} is not the binary");
    assert_eq!(arguments.first(), Some(&"start"));
    let check: Vec<&str> = ["config", "check", "--strict"].into_iter().chain(arguments[1..].iter().copied()).collect();
    workplace.run(&check, &[]).says(0, &[]);
}

#[test]
fn every_variable_that_is_shipped_or_documented_exists() {
    let known = variables();
    for file in [
        "Dockerfile",
        "compose.yaml",
        "packaging/systemd/chronik.service",
        "packaging/chronik.toml",
        "README.md",
        "docs/operate/single-node.md",
    ] {
        for name in named_variables(&read(file)) {
            assert!(known.contains(&name), "{file} names {name}, which nothing reads");
        }
    }
}

#[test]
fn every_variable_is_documented() {
    let documented = named_variables(&read("docs/operate/configuration.md"));
    for name in variables() {
        assert!(documented.contains(&name), "docs/operate/configuration.md does not name {name}");
    }
}

#[test]
fn the_shipped_file_is_valid_and_means_what_it_shows() {
    let workplace = Workplace::with_file(&read("packaging/chronik.toml"));
    let run = workplace.run(&["config", "show", "--origin", "-c", "chronik.toml"], &[]);
    run.says(0, &[]);
    assert_eq!(run.stderr, "");
    assert!(run.stdout.contains("/var/lib/chronik"));
    // What is shown commented out must be right, too.
    let uncommented = read("packaging/chronik.toml")
        .replace("# [node.advertise]\n# kafka = \"broker.example.com", "[node.advertise]\nkafka = \"localhost");
    assert!(uncommented.contains("\n[node.advertise]\nkafka"));
    Workplace::with_file(&uncommented).run(&["config", "check", "-c", "chronik.toml"], &[]).says(0, &[]);
}

#[test]
fn the_unit_starts_the_binary_with_flags_that_exist() {
    let unit = read("packaging/systemd/chronik.service");
    let value = |key: &str| {
        lines(&unit)
            .iter()
            .find_map(|line| line.strip_prefix(&format!("{key}=")).map(str::to_owned))
            .unwrap_or_else(|| panic!("no {key}"))
    };
    let workplace = Workplace::with_file(&read("packaging/chronik.toml"));
    is_a_valid_start(&value("ExecStart").replace("/etc/chronik/", ""), &workplace);
    assert_eq!(value("RestartPreventExitStatus"), "2 3", "usage and configuration");
    assert_eq!(value("Type"), "notify");
    let data_dir = format!("/var/lib/{}", value("StateDirectory"));
    assert!(
        read("packaging/chronik.toml").contains(&format!("data_dir = \"{data_dir}\"")),
        "the file stores where the unit may write"
    );
    assert!(
        unit.lines().all(|line| line.is_empty() || line.starts_with(['#', '[']) || line.contains('=')),
        "only settings"
    );
}

#[test]
fn the_image_is_built_from_what_is_there_and_runs_the_binary() {
    let dockerfile = lines(&read("Dockerfile"));
    let of = |instruction: &str| -> Vec<String> {
        dockerfile.iter().filter_map(|line| line.strip_prefix(&format!("{instruction} ")).map(str::to_owned)).collect()
    };
    for copy in of("COPY") {
        let words: Vec<&str> = copy.split_whitespace().collect();
        let (_, sources) = words.split_last().expect("a target");
        if words[0].starts_with("--from=") {
            assert_eq!(sources[1], "/src/target/dist/chronik-server", "the profile's folder and the binary's name");
        } else {
            sources.iter().for_each(|source| assert!(root().join(source).exists(), "COPY {source}: not in the tree"));
        }
    }
    // A workspace does not load unless all its members are there.
    let copied: Vec<String> =
        of("COPY").iter().flat_map(|copy| copy.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect();
    let manifest = read("Cargo.toml");
    let members = manifest.lines().find(|line| line.starts_with("members = ")).expect("there are members");
    for member in members.split('"').skip(1).step_by(2) {
        let folder = member.trim_end_matches("/*");
        assert!(copied.iter().any(|name| name == folder), "{folder} is not copied into the build");
    }
    // Nor unless what its patches point to is.
    let patched = manifest.lines().filter(|line| line.contains("path = \"vendor/"));
    assert!(patched.count() == 0 || copied.iter().any(|name| name == "vendor"), "vendor is not copied into the build");
    let build = of("RUN").into_iter().find(|run| run.starts_with("cargo build")).expect("it is built");
    assert!(build.contains("--profile dist") && read("Cargo.toml").contains("[profile.dist]"));
    assert!(
        build.contains("--package chronik-cli") && read("crates/cli/Cargo.toml").contains("name = \"chronik-cli\"")
    );
    let toolchain = read("Cargo.toml");
    let version =
        toolchain.lines().find_map(|line| line.strip_prefix("rust-version = ")).expect("a version").trim_matches('"');
    assert!(
        of("FROM")[0].starts_with(&format!("rust:{version}-")),
        "the image builds with the toolchain of the workspace"
    );

    assert_eq!(of("ENTRYPOINT"), ["[\"chronik-server\"]"]);
    assert_eq!(of("CMD"), ["[\"start\"]"]);
    assert_eq!(of("EXPOSE"), [format!("{} {}", default_port("kafka"), default_port("search"))]);
    assert_eq!(of("ENV"), [format!("CHRONIK_DATA_DIR={}", of("VOLUME")[0])]);
    assert!(of("USER") != ["root"]);
}

#[test]
fn the_compose_file_agrees_with_the_image() {
    let compose = read("compose.yaml");
    let items = lines(&compose);
    for port in ["kafka", "search"].map(default_port) {
        assert!(items.contains(&format!("- \"{port}:{port}\"")), "a port is published under its own number");
    }
    assert!(items.contains(&"command: [\"start\"]".to_owned()));
    let volume = lines(&read("Dockerfile"))
        .iter()
        .find_map(|line| line.strip_prefix("VOLUME ").map(str::to_owned))
        .expect("a volume");
    assert!(items.contains(&format!("- chronik-data:{volume}")));
    assert!(items.contains(&"chronik-data:".to_owned()), "the volume is declared");
    assert!(!compose.contains('\t'), "YAML is indented with blanks");
}

#[test]
fn the_compose_file_of_three_nodes_is_a_cluster_that_clients_on_the_host_reach() {
    let items = lines(&read("packaging/compose-three-nodes.yaml"));
    let after = |from: usize, name: &str| -> String {
        let value = items[from..].iter().find_map(|line| line.strip_prefix(&format!("{name}: "))).expect("it is set");
        value.to_owned()
    };
    let cluster: Vec<(&str, String)> =
        ["CHRONIK_CLUSTER_PEERS", "CHRONIK_REPLICATION_FACTOR", "CHRONIK_MIN_INSYNC_REPLICAS"].map(|name| (name, after(0, name))).to_vec();
    for id in 1..=3 {
        let service = items.iter().position(|line| *line == format!("chronik-{id}:")).expect("a service for each node");
        let mut variables = cluster.clone();
        variables.extend(["CHRONIK_NODE_ID", "CHRONIK_ADVERTISE"].map(|name| (name, after(service, name))));
        let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let run = Workplace::new().run(&["config", "show", "-o", "json"], &variables);
        run.says(0, &[]);
        let shown: serde_json::Value = serde_json::from_str(&run.stdout).expect("JSON");
        assert_eq!((&shown["node_id"], shown["peers"].as_array().map(Vec::len)), (&id.into(), Some(3)));
        assert_eq!(shown["peers"][id - 1]["raft"], format!("chronik-{id}:5001"), "it is found by the name of its service");
        // What clients are told is where the host has the port on which the node listens.
        let told = shown["node"]["advertise"]["kafka"].as_str().expect("an address").to_owned();
        let listens = shown["node"]["addresses"]["kafka"].as_str().expect("an address").to_owned();
        let port = |address: &str| address.rsplit_once(':').expect("a port").1.to_owned();
        let published = after(service, "ports");
        assert!(published.contains(&format!("\"{}:{}\"", port(&told), port(&listens))), "{published}");
        assert_eq!(after(service, "volumes"), format!("[\"data-{id}:/var/lib/chronik\"]"));
    }
}

fn default_port(service: &str) -> String {
    let run = Workplace::new().run(&["config", "show", "-o", "json"], &[]);
    let shown: serde_json::Value = serde_json::from_str(&run.stdout).expect("JSON");
    let address = shown["node"]["addresses"][service].as_str().expect("an address");
    address.rsplit_once(':').expect("a port").1.to_owned()
}
