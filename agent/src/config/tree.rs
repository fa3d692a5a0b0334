//! The file and the environment as one tree of values that know where they come from.

use toml::de::{DeTable, DeValue};

use super::problem::{Origin, Problem};

/// Prefix of the variables that override keys; two underscores go between the parts of a key.
const ENV_PREFIX: &str = "GUIDON__";

/// A value and its place.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) origin: Origin,
    pub(super) value: Value,
    /// The untyped text, where it came from the environment: a bare `7` may be meant as text.
    raw: Option<String>,
}

/// What can stand behind a key.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Boolean(bool),
    Array(Vec<Node>),
    Table(Table),
    /// A kind of value that no key takes.
    Other(&'static str),
}

/// Keys, each with its place (of the key itself) and value.
#[derive(Debug, Clone, Default)]
pub(super) struct Table(Vec<(String, Origin, Node)>);

impl Node {
    /// The text, also where an environment variable looks like another type.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => self.raw.as_deref(),
        }
    }

    /// The kind of value, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Text(_) => "a string",
            Value::Integer(_) => "a number",
            Value::Boolean(_) => "a boolean",
            Value::Array(_) => "an array",
            Value::Table(_) => "a table",
            Value::Other(kind) => kind,
        }
    }

    fn new(origin: Origin, value: Value) -> Self {
        Self {
            origin,
            value,
            raw: None,
        }
    }
}

impl Table {
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.0
            .iter()
            .find(|(name, _, _)| name == key)
            .map(|(_, _, node)| node)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Origin, &Node)> {
        self.0
            .iter()
            .map(|(name, origin, node)| (name.as_str(), origin, node))
    }

    fn put(&mut self, key: &str, origin: Origin, node: Node) {
        self.0.retain(|(name, _, _)| name != key);
        self.0.push((key.to_owned(), origin, node));
    }

    /// The table behind `key`; what is there but is no table makes way.
    fn table(&mut self, key: &str, origin: &Origin) -> &mut Table {
        let position = self.0.iter().position(|(name, _, _)| name == key);
        let position = position.unwrap_or_else(|| {
            let node = Node::new(origin.clone(), Value::Table(Table::default()));
            self.0.push((key.to_owned(), origin.clone(), node));
            self.0.len() - 1
        });
        let node = &mut self.0[position].2;
        if !matches!(node.value, Value::Table(_)) {
            *node = Node::new(origin.clone(), Value::Table(Table::default()));
        }
        match &mut node.value {
            Value::Table(table) => table,
            _ => unreachable!("it was made a table above"),
        }
    }
}

/// Parses TOML. All syntax errors are reported; what could be read around them is returned.
pub(super) fn parse(text: &str, problems: &mut Vec<Problem>) -> Table {
    let lines = Lines::new(text);
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        problems.push(Problem {
            origin: lines.origin(error.span().map_or(0, |span| span.start)),
            key: String::new(),
            what: format!("not TOML: {}", error.message().replace('\n', ", ")),
            fix: String::new(),
        });
    }
    convert_table(document.get_ref(), &|offset| lines.origin(offset))
}

/// Lays `GUIDON__SECTION__KEY` variables over the tree. A value is read as TOML where it is some,
/// else it is a string.
pub(super) fn overlay(
    tree: &mut Table,
    environment: &[(String, String)],
    problems: &mut Vec<Problem>,
) {
    let mut variables: Vec<_> = environment
        .iter()
        .filter_map(|(name, value)| Some((name, name.strip_prefix(ENV_PREFIX)?, value)))
        .collect();
    // A whole section (`GUIDON__API__TLS`) goes before its keys (`GUIDON__API__TLS__CERT`).
    variables.sort();
    for (name, path, value) in variables {
        let origin = Origin::Env(name.clone());
        let path = path.to_ascii_lowercase();
        let keys: Vec<&str> = path.split("__").collect();
        let Some((last, parents)) = keys.split_last().filter(|_| !keys.contains(&"")) else {
            problems.push(Problem {
                origin,
                key: String::new(),
                what: "names no key".into(),
                fix: "write it like GUIDON__API__LISTEN".into(),
            });
            continue;
        };
        let mut table = &mut *tree;
        for parent in parents {
            table = table.table(parent, &origin);
        }
        let parsed = DeValue::parse(value).map_or_else(
            |_| Value::Text(value.clone()),
            |parsed| convert(parsed.get_ref(), &|_| origin.clone()),
        );
        let node = Node {
            raw: match parsed {
                Value::Array(_) | Value::Table(_) => None,
                _ => Some(value.clone()),
            },
            origin: origin.clone(),
            value: parsed,
        };
        table.put(last, origin, node);
    }
}

fn convert_table(table: &DeTable<'_>, origin_at: &dyn Fn(usize) -> Origin) -> Table {
    let entries = table.iter().map(|(key, value)| {
        let node = Node::new(
            origin_at(value.span().start),
            convert(value.get_ref(), origin_at),
        );
        let key_origin = origin_at(key.span().start);
        (key.get_ref().to_string(), key_origin, node)
    });
    Table(entries.collect())
}

fn convert(value: &DeValue<'_>, origin_at: &dyn Fn(usize) -> Origin) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Boolean(boolean) => Value::Boolean(*boolean),
        DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix())
            .map_or(Value::Other("a number out of range"), Value::Integer),
        DeValue::Float(_) => Value::Other("a number with a fraction"),
        DeValue::Datetime(_) => Value::Other("a date"),
        DeValue::Table(table) => Value::Table(convert_table(table, origin_at)),
        DeValue::Array(array) => Value::Array(
            array
                .iter()
                .map(|item| {
                    let origin = origin_at(item.span().start);
                    Node::new(origin, convert(item.get_ref(), origin_at))
                })
                .collect(),
        ),
    }
}

/// Where lines start.
struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    fn new(text: &'t str) -> Self {
        let newlines = text.match_indices('\n').map(|(offset, _)| offset + 1);
        Self {
            text,
            starts: std::iter::once(0).chain(newlines).collect(),
        }
    }

    fn origin(&self, offset: usize) -> Origin {
        let line = self.starts.partition_point(|&start| start <= offset).max(1);
        let before = self.text.get(self.starts[line - 1]..offset).unwrap_or("");
        Origin::File {
            line,
            column: before.chars().count() + 1,
        }
    }
}
