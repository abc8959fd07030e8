//! Fetches and builds what the end-to-end cases need, through package managers, into the cache. A thing is made
//! anew when the file that pins its versions changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process::{cache, cargo, root, run};

/// Everything a case may ask for, made and ready: what it is started from, and by.
pub(crate) struct Prepared {
    pub(crate) kafka_jars: PathBuf,
    pub(crate) go_cases: PathBuf,
    pub(crate) toxiproxy: PathBuf,
    pub(crate) server: PathBuf,
}

/// Makes all of it; quick when it is there already.
pub(crate) fn all() -> Result<Prepared> {
    python()?;
    Ok(Prepared { kafka_jars: kafka_jars()?, go_cases: go_cases()?, toxiproxy: toxiproxy()?, server: server()? })
}

/// A virtual environment with the pinned clients. The path of its interpreter.
pub(crate) fn python() -> Result<PathBuf> {
    let requirements = root().join("tests/requirements.txt");
    let directory = cache().join("python");
    let python = directory.join("bin/python");
    when_changed(&directory, std::slice::from_ref(&requirements), || {
        run("making a Python environment", Command::new("python3").args(["-m", "venv"]).arg(&directory))?;
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
            .arg(&requirements);
        run("fetching Python clients", &mut pip)
    })?;
    Ok(python)
}

/// Apache Kafka and all it stands on. The directory of its jars.
pub(crate) fn kafka_jars() -> Result<PathBuf> {
    let pom = root().join("tests/kafka/pom.xml");
    let directory = cache().join("kafka");
    when_changed(&directory, std::slice::from_ref(&pom), || {
        let mut maven = Command::new("mvn");
        maven.args(["--batch-mode", "--quiet", "--file"]).arg(&pom);
        maven.arg("dependency:copy-dependencies").arg(format!("-DoutputDirectory={}", directory.display()));
        run("fetching Apache Kafka", &mut maven)
    })?;
    Ok(directory)
}

/// The franz-go program. Go's own build cache decides what has to be built.
pub(crate) fn go_cases() -> Result<PathBuf> {
    let binary = cache().join("go-cases");
    let mut go = Command::new("go");
    go.current_dir(root().join("tests/go")).args(["build", "-trimpath", "-o"]).arg(&binary).arg(".");
    run("building the franz-go cases", &mut go)?;
    Ok(binary)
}

/// What stands between nodes whose network is at fault.
pub(crate) fn toxiproxy() -> Result<PathBuf> {
    let binary = cache().join("toxiproxy");
    let mut go = Command::new("go");
    go.current_dir(root().join("tests/toxiproxy")).args(["build", "-trimpath", "-o"]).arg(&binary);
    run("building Toxiproxy", go.arg("github.com/Shopify/toxiproxy/v2/cmd/server"))?;
    Ok(binary)
}

/// The server, as the unit tests are built: with assertions, and nothing to compile twice.
pub(crate) fn server() -> Result<PathBuf> {
    run("building chronik-server", cargo().args(["build", "--package", "chronik-cli"]))?;
    let target = cache();
    Ok(target.parent().expect("the cache lies in the target directory").join("debug/chronik-server"))
}

/// Runs `make` into an empty directory unless it was made from the same pins before.
fn when_changed(directory: &Path, pins: &[PathBuf], make: impl FnOnce() -> Result<()>) -> Result<()> {
    let mut wanted = String::new();
    for pin in pins {
        wanted += &fs::read_to_string(pin).with_context(|| pin.display().to_string())?;
    }
    let stamp = directory.with_extension("made-from");
    if fs::read_to_string(&stamp).is_ok_and(|made_from| made_from == wanted) && directory.exists() {
        return Ok(());
    }
    if directory.exists() {
        fs::remove_dir_all(directory)?;
    }
    fs::create_dir_all(directory)?;
    make()?;
    fs::write(stamp, wanted)?;
    Ok(())
}
