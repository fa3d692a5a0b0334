//! Container folders as Docker keeps them: `<root>/<id>/<id>-json.log`, filled on demand.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;

/// Bytes of a line's text, its newline not counted.
pub const LINE_BYTES: usize = 200;

/// Many containers' logs, empty at first, and what is to be appended to them.
#[derive(Debug)]
pub struct Containers {
    root: PathBuf,
    /// Text of one file; every container gets the same.
    text: PathBuf,
    ids: Vec<String>,
    lines_each: u64,
}

impl Containers {
    /// Makes `count` empty logs below `folder`, for `lines_each` lines each.
    ///
    /// # Errors
    /// What the file system says.
    pub fn make(folder: &Path, count: usize, lines_each: u64) -> Result<Self> {
        let containers = Self {
            root: folder.join("containers"),
            text: folder.join("text"),
            ids: (1..=count).map(|number| format!("{number:064x}")).collect(),
            lines_each,
        };
        for id in &containers.ids {
            let log = containers.log(id);
            fs::create_dir_all(log.parent().unwrap_or(&log))?;
            File::create(log)?;
        }
        let mut text = BufWriter::new(File::create(&containers.text)?);
        for number in 0..lines_each {
            write_line(&mut text, number)?;
        }
        text.flush()?;
        Ok(containers)
    }

    /// All ids.
    #[must_use]
    pub fn ids(&self) -> &[String] {
        &self.ids
    }

    /// Where the folders are.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A container's log.
    #[must_use]
    pub fn log(&self, id: &str) -> PathBuf {
        self.root.join(id).join(format!("{id}-json.log"))
    }

    /// Lines in all logs once they are filled.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.lines_each * self.ids.len() as u64
    }

    /// Appends everything to every log; the kernel copies it.
    ///
    /// # Errors
    /// What the file system says.
    pub fn fill(&self) -> Result<()> {
        for id in &self.ids {
            let mut log = OpenOptions::new().append(true).open(self.log(id))?;
            io::copy(&mut File::open(&self.text)?, &mut log)?;
        }
        Ok(())
    }
}

/// A line as Docker writes it, of a service that logs `key=value` pairs; a quoted value gives the
/// escapes that texts usually have.
fn write_line(out: &mut impl Write, number: u64) -> io::Result<()> {
    let mut text = format!(
        "level=info msg=\\\"request served\\\" request={number:016x} method=GET status=200 \
         path=/api/v1/orders/{number} bytes=5120 duration_ms={} peer=10.20.30.40 agent=",
        number % 1000
    );
    // The two backslashes are not part of the text.
    while text.len() < LINE_BYTES + 2 {
        text.push('x');
    }
    let (second, fraction) = (number / 100_000 % 60, number % 100_000);
    writeln!(
        out,
        "{{\"log\":\"{text}\\n\",\"stream\":\"stdout\",\
         \"time\":\"2026-11-27T20:15:{second:02}.{fraction:05}3424Z\"}}"
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn lines_are_what_docker_writes_and_as_long_as_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let containers = Containers::make(folder.path(), 2, 3).unwrap();
        containers.fill().unwrap();
        assert_eq!(containers.lines(), 6);
        let text = fs::read_to_string(containers.log(&containers.ids()[1])).unwrap();
        assert_eq!(text.lines().count(), 3);
        for line in text.lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(line["log"].as_str().unwrap().len(), LINE_BYTES + 1);
            assert_eq!(line["time"].as_str().unwrap().len(), 30);
        }
    }
}
