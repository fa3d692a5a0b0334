#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use proptest::prelude::*;
use toml::Table;

use super::*;

const EMPTY: &str = include_str!("golden/empty.toml");

fn target(guid: &str, files: &[&str]) -> FileTarget {
    FileTarget {
        guid: guid.parse().unwrap(),
        files: files.iter().map(|&file| file.to_owned()).collect(),
    }
}

fn wanted(targets: Vec<FileTarget>) -> VectorConfig {
    VectorConfig {
        state: "/var/lib/guidon/vector".into(),
        docker: "/var/run/docker.sock".into(),
        owner: "/var/lib/guidon".to_owned(),
        logs: vec![LogSink {
            url: "http://127.0.0.1:4318/v1/logs".to_owned(),
            headers: Vec::new(),
        }],
        targets,
        api: "127.0.0.1:8686".parse().unwrap(),
    }
}

fn two() -> Vec<FileTarget> {
    vec![
        target("cart", &["/var/log/cart/*.log", "/var/log/cart.log"]),
        target("shop", &["/var/log/$HOME/it's [a-c]/{{ x }}"]),
    ]
}

/// The file as Vector up to 0.56 reads it: with variables replaced before it is parsed.
fn with_variables_replaced(text: &str) -> String {
    let variable = regex::Regex::new(r"\$\$|\$([[:word:].]+)|\$\{[^}]*\}").unwrap();
    variable.replace_all(text, "REPLACED").into_owned()
}

#[test]
fn an_empty_file_becomes_the_documented_one() {
    let text = edit("", &wanted(two())).unwrap();
    assert_eq!(text, EMPTY, "{text}");
}

#[test]
fn old_versions_and_new_ones_read_the_same() {
    let mut config = wanted(two());
    config.owner = "/srv/$USER/${X:-y}/$$".to_owned();
    config.state = "/srv/SECRET[a.b]/$x".into();
    config.logs[0].headers = vec![("Authorization".to_owned(), "Bearer $t\"\\".to_owned())];
    let text = edit("", &config).unwrap();
    assert_eq!(with_variables_replaced(&text), text);
    assert!(!text.contains("SECRET["));
    let read: Table = text.parse().unwrap();
    assert_eq!(read["data_dir"].as_str(), Some("/srv/SECRET[a.b]/$x"));
    let headers = &read["sinks"]["guidon_logs"]["request"]["headers"];
    assert_eq!(headers["Authorization"].as_str(), Some("Bearer $t\"\\"));
}

#[test]
fn what_somebody_added_or_changed_stays_unless_guidon_sets_it() {
    let base = edit("", &wanted(two())).unwrap();
    let by_hand = base
        .replace(
            "max_line_bytes = 1048576",
            "max_line_bytes = 7 # mine\nexclude = [\"/x\"]",
        )
        .replace(
            "codec = \"json\"",
            "codec = \"text\", except_fields = [\"y\"]",
        );
    assert_ne!(by_hand, base);
    let mended = edit(&by_hand, &wanted(two())).unwrap();
    let expected = by_hand
        .replace("max_line_bytes = 7", "max_line_bytes = 1048576")
        .replace("codec = \"text\"", "codec = \"json\"");
    assert_eq!(mended, expected);
}

#[test]
fn another_destination_comes_and_goes_alone() {
    let base = edit("", &wanted(two())).unwrap();
    let mut config = wanted(two());
    config.logs.push(LogSink {
        url: "http://127.0.0.1:9/v1/logs".to_owned(),
        headers: Vec::new(),
    });
    let more = edit(&base, &config).unwrap();
    assert!(more.contains("[sinks.guidon_logs_2]"));
    assert_eq!(edit(&more, &wanted(two())).unwrap(), base);
}

#[test]
fn a_file_in_other_shapes_is_edited_in_its_shape() {
    for text in [
        "sources = { mine = { type = \"stdin\" } }\n",
        "sources.mine.type = \"stdin\"\n[sinks]\n",
        "[sources]\nmine = { type = \"stdin\" }\n\n[sinks.x]\ntype = \"console\"\n# end",
        "data_dir = \"/mine\"\r\n[api]\r\nenabled = false\r\n[sources.mine]\r\ntype = \"stdin\"\r\n",
    ] {
        let edited = edit(text, &wanted(two())).unwrap();
        let read: Table = edited
            .parse()
            .unwrap_or_else(|error| panic!("{error}\n{edited}"));
        assert_eq!(
            read["sources"]["mine"]["type"].as_str(),
            Some("stdin"),
            "{edited}"
        );
        assert_eq!(
            read["sources"]["guidon_files"]["type"].as_str(),
            Some("file"),
            "{edited}"
        );
        assert_eq!(edit(&edited, &wanted(two())).unwrap(), edited);
        let line_ends = edited.matches('\n').count();
        assert_eq!(
            edited.matches("\r\n").count(),
            if text.contains("\r\n") { line_ends } else { 0 }
        );
    }
}

#[test]
fn what_cannot_be_edited_says_why() {
    for (text, why) in [
        ("sources = 1\n", "sources is no table"),
        (
            "[sources]\nguidon_files = 1\n",
            "sources.guidon_files is no table",
        ),
        ("[sources\n", "not TOML"),
    ] {
        let error = edit(text, &wanted(two())).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}

/// Lines of a file of somebody's, in sections.
fn somebodys_file() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        "# [a-z${}\" ]{0,12}",
        Just(String::new()),
        "k[a-z]{1,4} *= *[0-9]{1,3}( # [a-z]{0,5})?",
        "k[a-z]{1,4} = \"[a-z${} ]{0,8}\"",
        "k[a-z]{1,4} = '''[a-z\n]{0,8}'''",
        "k[a-z]{1,4} = \\[ *1,\n 2, # two\n\\]",
    ];
    let header = prop_oneof![
        "\\[sources\\.[a-f]{1,3}\\] *(# s)?",
        "\\[transforms\\.[a-f]{1,3}\\]",
        "\\[sinks\\.\"[a-f]{1,3}\" *\\]",
        "\\[\\[tests\\]\\]",
        "\\[enrichment_tables\\.[a-f]{1,3}\\]",
    ];
    let section = (header, proptest::collection::vec(line.clone(), 0..4));
    let top = proptest::collection::vec(line, 0..4);
    (top, proptest::collection::vec(section, 0..5)).prop_map(|(top, sections)| {
        let mut lines = top;
        for (header, body) in sections {
            lines.push(header);
            lines.extend(body);
        }
        lines.iter().map(|line| format!("{line}\n")).collect()
    })
}

fn some_targets() -> impl Strategy<Value = Vec<FileTarget>> {
    let one = (
        "[a-z]{1,6}",
        proptest::collection::vec("/[a-z*?$' .-]{1,8}", 1..3),
    );
    proptest::collection::vec(one, 0..4).prop_map(|targets| {
        let target = |(guid, files): (String, Vec<String>)| FileTarget {
            guid: guid.parse().unwrap(),
            files,
        };
        targets.into_iter().map(target).collect()
    })
}

proptest! {
    #[test]
    fn property_test_a_target_that_comes_and_goes_leaves_no_trace_and_the_rest_is_never_touched(
        foreign in somebodys_file(),
        few in some_targets(),
        more in some_targets(),
    ) {
        prop_assume!(foreign.parse::<Table>().is_ok());
        let before = edit(&foreign, &wanted(few.clone())).unwrap();
        let all = [few.clone(), more].concat();
        let during = edit(&before, &wanted(all.clone())).unwrap();
        prop_assert_eq!(&edit(&before, &wanted(few.clone())).unwrap(), &before);
        prop_assert_eq!(&edit(&during, &wanted(few)).unwrap(), &before);

        // Above what guidon added stands somebody's file, byte for byte.
        prop_assert_eq!(without_ours(&during), foreign);
        // And what Vector reads is the patterns and nothing else.
        let read: Table = during.parse().unwrap();
        let include = read["sources"]["guidon_files"]["include"].as_array().unwrap();
        let patterns: Vec<_> = include.iter().skip(1).map(|it| it.as_str().unwrap()).collect();
        let asked: Vec<_> = all.iter().flat_map(|it| &it.files).collect();
        prop_assert_eq!(patterns, asked);
    }
}

/// The text without guidon's tables and root keys, cut by lines: knows nothing of the editor.
fn without_ours(text: &str) -> String {
    let (above, _) = text.split_once("\n# Kept by guidon").unwrap();
    let lines = above.split_inclusive('\n');
    lines
        .filter(|line| !line.starts_with("data_dir = \"/var/lib/guidon"))
        .collect()
}
