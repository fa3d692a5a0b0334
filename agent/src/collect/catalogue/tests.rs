#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeSet;
use std::path::Path;

use super::*;

/// Set to write the tables instead of comparing them.
const UPDATE: &str = "GUIDON_UPDATE_DOCS";

#[test]
fn the_documentation_holds_the_catalogue() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (words, tables) = match page.find("## Containers\n") {
        Some(at) => page.split_at(at),
        None => (page.as_str(), ""),
    };
    let expected = markdown();
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&path, format!("{words}{expected}")).unwrap();
    } else {
        assert!(
            tables == expected,
            "docs/metrics.md differs from the catalogue: run `{UPDATE}=1 cargo test -p guidon --lib catalogue`"
        );
    }
}

#[test]
fn every_family_is_listed_once_and_named_by_the_rules() {
    let mut names = BTreeSet::new();
    for (part, _, entries) in parts() {
        for Entry { family, labels, .. } in entries {
            let name = family.name;
            assert!(names.insert(name), "{name} twice");
            assert!(
                !family.help.is_empty() && !family.help.contains('|'),
                "{name}"
            );
            let total = name.ends_with("_total");
            assert_eq!(total, family.kind == MetricType::Counter, "{name}");
            let prefixes: &[&str] = match part {
                "Containers" => &["container_"],
                "Node" => &["node_"],
                _ => &["guidon_", "process_"],
            };
            assert!(
                prefixes.iter().any(|prefix| name.starts_with(prefix)),
                "{name}"
            );
            let common = ["guid", "name", "id", "image", "instance"];
            let clash = labels
                .iter()
                .find(|label| common.contains(label) && name != own::RECORDS.name);
            assert_eq!(clash, None, "{name}");
        }
    }
}
