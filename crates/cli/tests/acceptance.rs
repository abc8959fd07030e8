//! `docs/acceptance.md` and `docs/operate/troubleshooting.md` speak of what exists.

use std::path::Path;

use chronik_state::health::CODES;

fn read(path: &str) -> String {
    let whole = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    std::fs::read_to_string(&whole).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Words in backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2))
}

#[test]
fn every_test_that_shows_a_promise_exists() {
    let page = read("docs/acceptance.md");
    let named: Vec<(&str, &str)> = quoted(&page).filter_map(|word| word.split_once("::")).collect();
    assert!(named.len() > 100, "the table is there");
    for (path, name) in named {
        let function = if path.ends_with(".py") { format!("def {name}(") } else { format!("fn {name}(") };
        assert!(read(path).contains(&function), "there is no {name} in {path}");
    }
}

#[test]
fn every_line_of_the_table_is_shown_or_says_that_it_is_not() {
    for line in read("docs/acceptance.md").lines().filter(|line| line.starts_with("| ") && !line.starts_with("| line"))
    {
        let shown = line.trim_end_matches(" |").rsplit(" | ").next().unwrap_or_default();
        let is_shown = shown.contains("::") || shown.contains("](") || shown.contains("`cargo ");
        assert!(is_shown || shown.contains("**not yet**") || shown.contains("free"), "{line}");
    }
}

#[test]
fn every_problem_of_the_status_has_its_line_of_advice() {
    let page = read("docs/operate/troubleshooting.md");
    for code in CODES {
        assert!(page.contains(&format!("| `{code}` |")), "{code} is not on the page");
    }
}
