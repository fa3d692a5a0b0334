//! Reading the kernel's text: small parsers over bytes, and files that stay open.
//!
//! The files come from the kernel, but a parser here takes any bytes: what it does not understand
//! it leaves out.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Longest file that is read; what is beyond is not seen.
const MAX_FILE: usize = 4 << 20;

/// A decimal number, surrounded by spaces or line ends at most.
pub(super) fn number(bytes: &[u8]) -> Option<u64> {
    let digits = bytes.trim_ascii();
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |value, &byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit <= 9).then_some(())?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// A float as `/proc` writes them.
pub(super) fn float(bytes: &[u8]) -> Option<f64> {
    std::str::from_utf8(bytes.trim_ascii()).ok()?.parse().ok()
}

/// The lines, without their ends.
pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
}

/// The words of a line.
pub(super) fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| byte.is_ascii_whitespace())
        .filter(|word| !word.is_empty())
}

/// `key value` lines.
pub(super) fn pairs(bytes: &[u8]) -> impl Iterator<Item = (&[u8], u64)> {
    lines(bytes).filter_map(|line| {
        let mut words = words(line);
        Some((words.next()?, number(words.next()?)?))
    })
}

/// The value of one key among `key value` lines.
pub(super) fn value_of(bytes: &[u8], key: &[u8]) -> Option<u64> {
    pairs(bytes)
        .find(|&(name, _)| name == key)
        .map(|(_, value)| value)
}

/// A pressure file's `total=` of the lines `some` and `full`, in microseconds.
pub(super) fn pressure(bytes: &[u8]) -> [Option<u64>; 2] {
    let mut totals = [None; 2];
    for line in lines(bytes) {
        let mut words = words(line);
        let at = match words.next() {
            Some(b"some") => 0,
            Some(b"full") => 1,
            _ => continue,
        };
        totals[at] = words
            .find_map(|word| word.strip_prefix(b"total="))
            .and_then(number);
    }
    totals
}

/// Reads a whole file into the buffer, which it replaces.
pub(super) fn read_path(path: &Path, into: &mut Vec<u8>) -> io::Result<()> {
    read_file(&File::open(path)?, Shape::Records, into)
}

/// How the kernel hands a pseudo file out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// In one piece, given room: one call reads it.
    Whole,
    /// Record by record, about a page per call: it ends with an empty read.
    Records,
}

/// Reads an open file from its start.
pub(super) fn read_file(file: &File, shape: Shape, into: &mut Vec<u8>) -> io::Result<()> {
    const CHUNK: usize = 16 << 10;
    into.resize(into.capacity().max(CHUNK), 0);
    let mut length = 0;
    loop {
        match file.read_at(&mut into[length..], length as u64) {
            Ok(0) => break,
            Ok(read) => {
                length += read;
                if length >= MAX_FILE || (shape == Shape::Whole && length < into.len()) {
                    break;
                }
                if length == into.len() {
                    let longer = into.len() * 2;
                    into.resize(longer, 0);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                into.clear();
                return Err(error);
            }
        }
    }
    into.truncate(length);
    Ok(())
}

/// How many files may stay open; shared by everybody who keeps some.
#[derive(Debug, Clone)]
pub(super) struct Budget(Arc<AtomicUsize>);

impl Budget {
    pub(super) fn new(files: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(files)))
    }

    fn take(&self) -> bool {
        let one_less = |left: usize| left.checked_sub(1);
        // Only a count: nothing is published through it.
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less)
            .is_ok()
    }

    fn give(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A file that stays open between rounds, within a budget; beyond it, it is opened every time.
#[derive(Debug)]
pub(super) struct Kept {
    file: Option<File>,
    budget: Budget,
    /// Times it may still be found missing before it is given up.
    tries: u8,
}

/// A runtime makes the directories of a container's hierarchies one after the other, so a file
/// that is missing at first may come.
const TRIES: u8 = 3;

impl Kept {
    pub(super) fn new(budget: &Budget) -> Self {
        Self {
            file: None,
            budget: budget.clone(),
            tries: TRIES,
        }
    }

    /// Reads the file, opening it at `directory/name` if need be. False: it is not there (any more).
    pub(super) fn read(
        &mut self,
        directory: &Path,
        name: &str,
        shape: Shape,
        into: &mut Vec<u8>,
    ) -> bool {
        into.clear();
        if let Some(file) = &self.file {
            if read_file(file, shape, into).is_ok() {
                return true;
            }
            self.close();
        }
        if self.tries == 0 {
            return false;
        }
        let opened = File::open(directory.join(name));
        match opened.and_then(|file| read_file(&file, shape, into).map(|()| file)) {
            Ok(file) => {
                self.tries = TRIES;
                if self.budget.take() {
                    self.file = Some(file);
                }
                true
            }
            Err(_) => {
                self.tries -= 1;
                false
            }
        }
    }

    pub(super) fn close(&mut self) {
        if self.file.take().is_some() {
            self.budget.give();
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests;
