//! Runs every input of the corpora, and everything that was ever found, once: `replay FOLDER [TARGET…]`. With `--seeds`
//! it writes the inputs to begin with instead.

use std::path::{Path, PathBuf};
use std::time::Instant;

use chronik_fuzz::{TARGETS, Target, count_panics, within_bounds};

fn main() {
    count_panics();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let writes_seeds = arguments.iter().any(|argument| argument == "--seeds");
    let mut words = arguments.iter().filter(|argument| *argument != "--seeds");
    let folder = PathBuf::from(words.next().expect("usage: replay [--seeds] FOLDER [TARGET…]"));
    let names: Vec<&String> = words.collect();
    for target in TARGETS.iter().filter(|target| names.is_empty() || names.iter().any(|name| *name == target.name)) {
        if writes_seeds { write_seeds(&folder, target) } else { replay(&folder, target) }
    }
}

/// Every file of the target's corpus and of its findings. One that fails is named before it is run.
fn replay(folder: &Path, target: &Target) {
    let began = Instant::now();
    let mut counts = [0, 0];
    let mut bytes_run = 0;
    for (kind, count) in ["corpus", "findings"].iter().zip(&mut counts) {
        for path in files(&folder.join(kind).join(target.name)) {
            let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let told = Told(&path);
            within_bounds(&bytes, target.limits, target.run);
            std::mem::forget(told);
            *count += 1;
            bytes_run += bytes.len();
        }
    }
    let [corpus, findings] = counts;
    assert!(corpus > 0, "{}: the corpus is empty", target.name);
    let seconds = began.elapsed().as_secs_f64();
    println!("{:<9} {corpus:>5} inputs, {findings:>3} past findings, {bytes_run:>8} bytes, {seconds:.1} s", target.name);
}

/// Names the input that panicked.
struct Told<'a>(&'a Path);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        eprintln!("the input is {}", self.0.display());
    }
}

fn write_seeds(folder: &Path, target: &Target) {
    let folder = folder.join(target.name);
    std::fs::create_dir_all(&folder).expect("the folder can be made");
    let seeds = (target.seeds)();
    println!("{}: {} seeds", target.name, seeds.len());
    for (name, bytes) in seeds {
        std::fs::write(folder.join(name), bytes).expect("a seed can be written");
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_file()).collect();
    files.sort();
    files
}
