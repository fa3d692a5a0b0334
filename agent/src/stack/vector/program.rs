//! What Vector's transforms run: from its events to OTLP's JSON form of log records, with the same
//! attributes that the agent's own tailer gives.
//!
//! The programs are in VRL and compile in every version that [`super`] names. VRL refuses a program
//! that handles an error that cannot occur, and versions differ in what can; so errors are only
//! ever handled of calls whose argument has no known type (what `get` returns), which can fail in
//! all of them. No program has a `$`, which older versions take for the start of a variable.

use std::fmt::Write;

use super::pattern;
use crate::directory::docker::{LABEL_GUID, LABEL_OWNER};
use crate::receive::logs::FileTarget;

/// Takes a text field of the event, or nothing.
const TEXT: &str = "string(get(., [FIELD]) ?? null) ?? \"\"";

/// The event's time and the time now, in nanoseconds; 0 = not known.
const TIMES: &str = r#"
time = to_unix_timestamp(get(., ["timestamp"]) ?? null, unit: "nanoseconds") ?? 0
observed = to_unix_timestamp(get({"now": now()}, ["now"]) ?? null, unit: "nanoseconds") ?? 0
"#;

/// A record per event under a resource of its own: the sink joins them to one request.
const CONTAINER_EVENT: &str = r#"
attributes = push(attributes, {"key": "container.name", "value": {"stringValue": name}})
attributes = push(attributes, {"key": "container.id", "value": {"stringValue": id}})
attributes = push(attributes, {"key": "container.image.name", "value": {"stringValue": image}})
attributes = push(attributes, {"key": "image", "value": {"stringValue": image}})
severity = 9
level = "INFO"
if stream == "stderr" {
  severity = 17
  level = "ERROR"
}
. = {
  "resource": {"attributes": attributes},
  "scopeLogs": [{"logRecords": [{
    "timeUnixNano": to_string(time),
    "observedTimeUnixNano": to_string(observed),
    "severityNumber": severity,
    "severityText": level,
    "body": {"stringValue": message},
    "attributes": [{"key": "log.iostream", "value": {"stringValue": stream}}]
  }]}]
}
"#;

const FILE_EVENT: &str = r#"
attributes = push(attributes, {"key": "log.file.path", "value": {"stringValue": path}})
. = {
  "resource": {"attributes": attributes},
  "scopeLogs": [{"logRecords": [{
    "observedTimeUnixNano": to_string(observed),
    "body": {"stringValue": message}
  }]}]
}
"#;

const GUID_ATTRIBUTES: &str = r#"attributes = []
if guid != "" {
  attributes = push(attributes, {"key": "guid", "value": {"stringValue": guid}})
  attributes = push(attributes, {"key": "service.instance.id", "value": {"stringValue": guid}})
}"#;

/// For events of `docker_logs`. A container is an app's if this agent made it, which it says in
/// labels that are there from the first line on; nobody's has no guid.
pub(super) fn of_containers(owner: &str) -> String {
    let owner_label = text(&format!("\"label\", {LABEL_OWNER:?}"));
    let guid_label = text(&format!("\"label\", {LABEL_GUID:?}"));
    let mut program = String::from("\n");
    program.push_str(&variables(&[
        ("message", "message"),
        ("name", "container_name"),
        ("id", "container_id"),
        ("image", "image"),
        ("stream", "stream"),
    ]));
    let _ = writeln!(program, "owner = {owner_label}");
    let _ = writeln!(program, "guid = {guid_label}");
    let _ = writeln!(
        program,
        "if owner != {} {{\n  guid = \"\"\n}}",
        literal(owner)
    );
    program + GUID_ATTRIBUTES + TIMES + CONTAINER_EVENT.trim_start()
}

/// For events of the one `file` source: a line per pattern says whose files it matches. A file that
/// several match is the first one's.
pub(super) fn of_files(targets: &[FileTarget]) -> String {
    let mut program = String::from("\n");
    program.push_str(&variables(&[("message", "message"), ("path", "file")]));
    program.push_str("guid = \"\"\n");
    for target in targets {
        for file in &target.files {
            let condition = match pattern::plain_path(file) {
                Some(path) => format!("path == {}", literal(&path)),
                None => format!("match(path, r'{}')", pattern::to_regex(file)),
            };
            let guid = literal(target.guid.as_str());
            let _ = writeln!(
                program,
                "if guid == \"\" && {condition} {{ guid = {guid} }}"
            );
        }
    }
    let times = TIMES
        .trim_start()
        .lines()
        .filter(|line| line.starts_with("observed"));
    let times: String = times.map(|line| format!("{line}\n")).collect();
    program + GUID_ATTRIBUTES + "\n" + &times + FILE_EVENT.trim_start()
}

fn variables(fields: &[(&str, &str)]) -> String {
    let line = |(name, field): &(&str, &str)| format!("{name} = {}\n", text(&format!("{field:?}")));
    fields.iter().map(line).collect()
}

fn text(path: &str) -> String {
    TEXT.replace("FIELD", path)
}

/// A string literal. What could mean something (templates, escapes, `$`) is written by its number.
fn literal(text: &str) -> String {
    let mut literal = String::from("\"");
    for character in text.chars() {
        match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '/' | '.' | '_' | '-' | ' ' | ':' => {
                literal.push(character);
            }
            other => {
                let _ = write!(literal, "\\u{{{:x}}}", u32::from(other));
            }
        }
    }
    literal.push('"');
    literal
}
