//! Edits Vector's file: sets the keys of guidon's components and leaves everything else as it is, to
//! the byte but for one thing: where headers spell one section in several ways (`[sinks.a]`,
//! `[ sinks.b ]`), they all get the first one's spelling.

use toml_edit::{DocumentMut, Item, RawString, Table, TableLike, TomlError, Value};

use super::VectorConfig;

/// What the names of guidon's components begin with.
const OURS: &str = "guidon_";
/// The sections that have components of guidon.
const SECTIONS: [&str; 3] = ["sources", "transforms", "sinks"];
/// Stands above each of guidon's components.
const NOTE: &str = "\n# Kept by guidon: what it sets here is set again.\n";

/// Why a file cannot be edited.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    #[error("not TOML: {0}")]
    Toml(#[from] TomlError),
    #[error("{0} is no table")]
    NotTable(String),
}

/// The file with what `wanted` says. Editing twice is editing once; a file that says it already
/// comes back as it is.
pub fn edit(text: &str, wanted: &VectorConfig) -> Result<String, EditError> {
    // What reads the file takes both; what edits it writes one.
    let crlf = text.contains("\r\n");
    let mut document: DocumentMut = text.parse()?;
    let components = wanted.components();
    let end = document.trailing().clone();
    let mut added = Added::behind(end.as_str().unwrap_or_default());
    let root = document.as_table_mut();
    if !root.contains_key("data_dir") {
        let state = wanted.state.display().to_string();
        root.insert("data_dir", Item::Value(string(&state)));
    }
    if !root.contains_key("api") {
        let api = Table::from_iter([
            ("enabled", Value::from(true)),
            ("address", string(&wanted.api.to_string())),
        ]);
        added.insert(root, "api", api);
    }
    for section in SECTIONS {
        let table = section_of(root, section)?;
        let is_wanted = |name: &str| {
            let mut of_section = components.iter().filter(|it| it.section == section);
            of_section.any(|component| component.name == name)
        };
        let gone: Vec<String> = table
            .iter()
            .map(|(name, _)| name.to_owned())
            .filter(|name| name.starts_with(OURS) && !is_wanted(name))
            .collect();
        for name in gone {
            table.remove(&name);
        }
    }
    for component in components {
        let table = section_of(root, component.section)?;
        let path = format!("{}.{}", component.section, component.name);
        match table.get_mut(&component.name) {
            Some(item) => {
                let keys = item.as_table_like_mut().ok_or(EditError::NotTable(path))?;
                for (key, value) in component.keys {
                    set(keys, key, value);
                }
            }
            None => added.insert(table, &component.name, component.keys.into_iter().collect()),
        }
    }
    if added.count > 0 {
        document.set_trailing("");
    }
    let edited = document.to_string();
    Ok(match crlf {
        true => edited.replace("\r\n", "\n").replace('\n', "\r\n"),
        false => edited,
    })
}

/// A section's table; made if it is not there. A made one has no header of its own.
fn section_of<'d>(root: &'d mut Table, name: &str) -> Result<&'d mut dyn TableLike, EditError> {
    let mut made = Table::new();
    made.set_implicit(true);
    root.entry(name)
        .or_insert(Item::Table(made))
        .as_table_like_mut()
        .ok_or_else(|| EditError::NotTable(name.to_owned()))
}

/// Tables that are added: behind everything that is there, in their order.
struct Added {
    count: isize,
    /// What the next one has above it.
    above: String,
}

impl Added {
    /// Further down than any table of a file.
    const FIRST_PLACE: isize = isize::MAX / 2;

    /// `end`: comments and empty lines behind the last table.
    fn behind(end: &str) -> Self {
        let break_line = match end.is_empty() || end.ends_with('\n') {
            true => "",
            false => "\n",
        };
        Self {
            count: 0,
            above: format!("{end}{break_line}{NOTE}"),
        }
    }

    fn insert(&mut self, parent: &mut dyn TableLike, name: &str, mut table: Table) {
        let above = std::mem::replace(&mut self.above, NOTE.to_owned());
        table.decor_mut().set_prefix(above);
        table.set_position(Some(Self::FIRST_PLACE + self.count));
        self.count += 1;
        parent.insert(name, Item::Table(table));
    }
}

/// Sets a key unless it says so already, in whatever form; of a table only the keys that are given.
fn set(table: &mut dyn TableLike, key: &str, value: Value) {
    match (table.get_mut(key), value) {
        (Some(item), Value::InlineTable(wanted)) if item.is_table_like() => {
            if let Some(table) = item.as_table_like_mut() {
                for (key, value) in wanted {
                    set(table, &key, value);
                }
            }
        }
        (Some(Item::Value(current)), value) => {
            if !says_the_same(current, &value) {
                let (prefix, suffix) = decor_of(current);
                *current = value;
                if let Some(prefix) = prefix {
                    current.decor_mut().set_prefix(prefix);
                }
                if let Some(suffix) = suffix {
                    current.decor_mut().set_suffix(suffix);
                }
            }
        }
        (_, value) => {
            table.insert(key, Item::Value(value));
        }
    }
}

fn decor_of(value: &Value) -> (Option<RawString>, Option<RawString>) {
    (
        value.decor().prefix().cloned(),
        value.decor().suffix().cloned(),
    )
}

/// Whether two values mean the same, however they are written.
fn says_the_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::String(one), Value::String(other)) => one.value() == other.value(),
        (Value::Integer(one), Value::Integer(other)) => one.value() == other.value(),
        (Value::Boolean(one), Value::Boolean(other)) => one.value() == other.value(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .zip(other)
                    .all(|(one, other)| says_the_same(one, other))
        }
        _ => false,
    }
}

/// A string in which nothing is replaced by any version.
pub(super) fn string(text: &str) -> Value {
    parsed(&format!("\"{}\"", escaped(text))).unwrap_or_else(|| Value::from(text))
}

/// A program, line by line. It has no quotes of three and no `$`.
pub(super) fn program(text: &str) -> Value {
    parsed(&format!("'''{text}'''")).unwrap_or_else(|| string(text))
}

fn parsed(literal: &str) -> Option<Value> {
    literal.parse().ok()
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' | '\\' => escaped.extend(['\\', character]),
            '$' => escaped.push_str("\\u0024"),
            '[' if escaped.ends_with("SECRET") => escaped.push_str("\\u005b"),
            control if control.is_control() => {
                escaped.push_str(&format!("\\u{:04x}", u32::from(control)));
            }
            other => escaped.push(other),
        }
    }
    escaped
}
