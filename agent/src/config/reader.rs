//! Walks the tree section by section; finds unknown keys; collects every problem.

use std::collections::BTreeMap;

use super::problem::{Complaint, Origin, Problem};
use super::tree::{Node, Table, Value};

/// What one value made of itself, or everything that is wrong with it, each at its own place
/// (absent: the place of the value).
pub(super) type Outcome<T> = Result<T, Vec<(Option<Origin>, Complaint)>>;

/// The state of a walk.
#[derive(Debug, Default)]
pub(super) struct Walk {
    pub(super) problems: Vec<Problem>,
    /// Every key that somebody wrote, with the place of its value.
    pub(super) origins: BTreeMap<String, Origin>,
    /// Every key that exists.
    pub(super) keys: Vec<String>,
    unknown: Vec<(String, String, Origin)>,
}

impl Walk {
    /// Reads a whole tree.
    pub(super) fn read(&mut self, tree: &Table, read: impl FnOnce(&mut Section<'_>)) {
        let mut root = Section {
            walk: self,
            path: String::new(),
            table: Some(tree),
            known: Vec::new(),
        };
        read(&mut root);
        root.finish();
        for (section, key, origin) in std::mem::take(&mut self.unknown) {
            let fix = self.meant(&section, &key);
            self.problems.push(Problem {
                origin,
                key: join(&section, &key),
                what: "unknown key".into(),
                fix,
            });
        }
    }

    /// What an unknown key was probably meant to be: a key of its section that looks like it, else
    /// a key of that name elsewhere.
    fn meant(&self, section: &str, key: &str) -> String {
        let split = |full: &'_ str| match full.rsplit_once('.') {
            Some((parent, name)) => (parent.to_owned(), name.to_owned()),
            None => (String::new(), full.to_owned()),
        };
        let all: Vec<_> = self.keys.iter().map(|full| (full, split(full))).collect();
        let near = all
            .iter()
            .filter(|(_, (parent, _))| parent == section)
            .map(|(full, (_, name))| (distance(name, key), full))
            .filter(|(distance, _)| *distance <= (key.chars().count() / 3).clamp(1, 3))
            .min();
        if let Some((_, full)) = near {
            return format!("did you mean {full}?");
        }
        let normal = key.to_ascii_lowercase().replace('-', "_");
        if let Some((full, _)) = all.iter().find(|(_, (_, name))| *name == normal) {
            return format!("did you mean {full}?");
        }
        let names: Vec<&str> = all
            .iter()
            .filter(|(_, (parent, _))| parent == section)
            .map(|(_, (_, name))| name.as_str())
            .collect();
        format!("known here: {}", names.join(", "))
    }
}

/// One section, and what of it has been asked for.
#[derive(Debug)]
pub(super) struct Section<'w> {
    walk: &'w mut Walk,
    path: String,
    table: Option<&'w Table>,
    known: Vec<&'static str>,
}

impl Section<'_> {
    /// Reads one key, if it is there, into `into`.
    pub(super) fn set<T>(
        &mut self,
        key: &'static str,
        into: &mut T,
        read: impl FnOnce(&Node) -> Outcome<T>,
    ) {
        let path = self.ask(key);
        let Some(node) = self.table.and_then(|table| table.get(key)) else {
            return;
        };
        self.walk.origins.insert(path.clone(), node.origin.clone());
        match read(node) {
            Ok(value) => *into = value,
            Err(complaints) => {
                for (origin, Complaint { what, fix }) in complaints {
                    self.walk.problems.push(Problem {
                        origin: origin.unwrap_or_else(|| node.origin.clone()),
                        key: path.clone(),
                        what,
                        fix,
                    });
                }
            }
        }
    }

    /// Reads a section below this one. Its keys are walked also where it is not there, so that
    /// they are known; `Some` where it is there.
    pub(super) fn section<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Section<'_>) -> T,
    ) -> Option<T> {
        let path = self.ask(key);
        let node = self.table.and_then(|table| table.get(key));
        let table = match node.map(|node| (node, &node.value)) {
            None => None,
            Some((node, Value::Table(table))) => {
                self.walk.origins.insert(path.clone(), node.origin.clone());
                Some(table)
            }
            Some((node, _)) => {
                self.walk.problems.push(Problem {
                    origin: node.origin.clone(),
                    key: path.clone(),
                    what: format!("{} where a section belongs", node.kind()),
                    fix: format!("write [{path}] and its keys below it"),
                });
                None
            }
        };
        let mut section = Section {
            walk: self.walk,
            path,
            table,
            known: Vec::new(),
        };
        let outcome = read(&mut section);
        section.finish();
        table.map(|_| outcome)
    }

    /// Reads a section below this one that may also be written as `false`, which sets `into` to
    /// its default.
    pub(super) fn switchable<T: Default>(
        &mut self,
        key: &'static str,
        into: &mut T,
        read: impl FnOnce(&mut Section<'_>, &mut T),
    ) {
        let node = self.table.and_then(|table| table.get(key));
        if node.is_some_and(|node| matches!(node.value, Value::Boolean(false))) {
            *into = T::default();
            self.ask(key);
        } else {
            self.section(key, |section| read(section, into));
        }
    }

    /// A key that must be there if the section is.
    pub(super) fn require(&mut self, key: &'static str, fix: &str) {
        let missing = |table: &Table| table.get(key).is_none();
        if self.table.is_some_and(missing) {
            let origin = self.walk.origins.get(&self.path).cloned();
            self.walk.problems.push(Problem {
                origin: origin.unwrap_or(Origin::Default),
                key: join(&self.path, key),
                what: "missing".into(),
                fix: fix.into(),
            });
        }
    }

    /// Notes that a key exists; returns its path.
    fn ask(&mut self, key: &'static str) -> String {
        self.known.push(key);
        let path = join(&self.path, key);
        self.walk.keys.push(path.clone());
        path
    }

    fn finish(self) {
        for (key, origin, _) in self.table.iter().flat_map(|table| table.iter()) {
            if !self.known.contains(&key) {
                let unknown = (self.path.clone(), key.to_owned(), origin.clone());
                self.walk.unknown.push(unknown);
            }
        }
    }
}

fn join(section: &str, key: &str) -> String {
    if section.is_empty() {
        key.to_owned()
    } else {
        format!("{section}.{key}")
    }
}

/// Edits (insert, delete, replace, swap of neighbours) between two words.
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().take(64).collect();
    let right: Vec<char> = right.chars().take(64).collect();
    let mut rows = vec![vec![0; right.len() + 1]; left.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=left.len() {
        for j in 1..=right.len() {
            let change = usize::from(left[i - 1] != right[j - 1]);
            let mut best = (rows[i - 1][j] + 1)
                .min(rows[i][j - 1] + 1)
                .min(rows[i - 1][j - 1] + change);
            let swapped =
                i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1];
            if swapped {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[left.len()][right.len()]
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn distance_counts_edits_and_swaps_of_neighbours() {
        for (left, right, expected) in [
            ("listen", "listen", 0),
            ("listen", "lisen", 1),
            ("listen", "lsiten", 1),
            ("listen", "", 6),
            ("token_file", "tokenfile", 1),
            ("metrics", "logs", 6),
        ] {
            assert_eq!(distance(left, right), expected, "{left} {right}");
        }
    }
}
