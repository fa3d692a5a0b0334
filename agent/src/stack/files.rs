//! A component's files: kept as they are wanted, judged before they count, and taken back where
//! the program does not want them.
//!
//! A candidate is written beside the live file, judged there if the component has a check, and
//! renamed over it. What a program was ready with is remembered as good, also on disk; it comes
//! back when a later one is refused.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use super::component::ManagedFile;
use crate::config::atomic;

/// A refused content is tried again after so long: its reason may have gone.
const TRY_REFUSED_AGAIN: Duration = Duration::from_secs(60);
/// A configuration is smaller; a wrong path must not be slurped.
const MOST_BYTES: u64 = 16 << 20;

/// Judges a candidate; an error is a refusal, in the judge's words.
pub(super) trait Judge {
    async fn judge(&self, candidate: &Path) -> Result<(), String>;
}

/// What is known of a component's files.
#[derive(Debug)]
pub(super) struct Files {
    /// Where good contents are remembered.
    folder: PathBuf,
    known: BTreeMap<PathBuf, Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// What the running program has read.
    loaded: Option<String>,
    /// What a program was ready with.
    good: Option<String>,
    refused: Option<Refused>,
}

#[derive(Debug)]
struct Refused {
    content: String,
    words: String,
    at: Instant,
}

/// What became of the files.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Synced {
    /// The program has to read them again.
    pub(super) changed: bool,
    /// What was not as it should be: put right, or left as it is for a reason.
    pub(super) notes: Vec<String>,
    /// A content that is wanted is not in force.
    pub(super) refused: bool,
}

impl Files {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            known: BTreeMap::new(),
        }
    }

    /// Makes the files be as wanted. An error is one of the disk, or a file that cannot be
    /// understood and of which nothing better is known.
    pub(super) async fn sync(
        &mut self,
        files: &[ManagedFile],
        judge: &impl Judge,
    ) -> Result<Synced, String> {
        let mut synced = Synced::default();
        self.known
            .retain(|path, _| files.iter().any(|file| file.path == *path));
        for file in files {
            self.sync_one(file, judge, &mut synced).await?;
        }
        Ok(synced)
    }

    async fn sync_one(
        &mut self,
        file: &ManagedFile,
        judge: &impl Judge,
        synced: &mut Synced,
    ) -> Result<(), String> {
        let shown = file.path.display();
        let remembered = self.remembered(&file.path);
        let known = self
            .known
            .entry(file.path.clone())
            .or_insert_with(|| Known {
                good: read(&remembered).ok().flatten(),
                ..Known::default()
            });
        let live = read(&file.path)?;
        let wanted = match file.text.wanted(live.as_deref()) {
            Ok(wanted) => wanted,
            Err(why) => {
                let Some(good) = &known.good else {
                    return Err(format!("{shown}: {why}"));
                };
                synced.notes.push(format!("{shown} is put back: {why}"));
                let again = file.text.wanted(Some(good));
                again.map_err(|why| format!("{shown}: {why}"))?
            }
        };
        let is_live = live.as_ref() == Some(&wanted);
        if is_live && known.loaded.as_ref() == Some(&wanted) {
            return Ok(());
        }
        if let Some(refused) = &known.refused
            && refused.content == wanted
            && refused.at.elapsed() < TRY_REFUSED_AGAIN
        {
            synced.notes.push(refused.words.clone());
            synced.refused = true;
            return Ok(());
        }
        let was_in_force = live.is_some() && known.loaded.as_ref() == Some(&wanted);
        if !is_live && was_in_force && synced.notes.is_empty() {
            synced
                .notes
                .push(format!("{shown} was changed by somebody else: put back"));
        }
        let part = part_of(&file.path)?;
        let at = match is_live {
            true => file.path.clone(),
            false => {
                write(&part, file.mode, &wanted).await?;
                part.clone()
            }
        };
        if let Err(words) = judge.judge(&at).await {
            let words = format!("{shown} is refused: {words}");
            synced.notes.push(words.clone());
            synced.refused = true;
            known.refused = Some(Refused {
                content: wanted,
                words,
                at: Instant::now(),
            });
            atomic::discard(&part).map_err(|error| format!("{}: {error}", part.display()))?;
            let good = known
                .good
                .clone()
                .filter(|good| live.as_ref() != Some(good));
            return match (good, is_live) {
                // Only what somebody wrote by hand, or an older good one, can stand there.
                (Some(good), true) => put(&file.path, file.mode, &good).await,
                _ => Ok(()),
            };
        }
        if !is_live {
            rename(&part, &file.path).await?;
        }
        known.refused = None;
        known.loaded = Some(wanted);
        synced.changed = true;
        Ok(())
    }

    /// The program that runs has read something else: an earlier agent's files, or none.
    pub(super) fn forget_loaded(&mut self) {
        for known in self.known.values_mut() {
            known.loaded = None;
        }
    }

    /// The program is ready with what it has read.
    pub(super) async fn commit(&mut self) -> Result<(), String> {
        let mut news = Vec::new();
        for (path, known) in &self.known {
            if let Some(loaded) = known
                .loaded
                .as_ref()
                .filter(|it| Some(*it) != known.good.as_ref())
            {
                news.push((path.clone(), loaded.clone()));
            }
        }
        for (path, loaded) in news {
            put(&self.remembered(&path), 0o600, &loaded).await?;
            if let Some(known) = self.known.get_mut(&path) {
                known.good = Some(loaded);
            }
        }
        Ok(())
    }

    /// The program refuses what it was told to read and goes on with what it had: good contents
    /// come back.
    pub(super) async fn roll_back(
        &mut self,
        files: &[ManagedFile],
        words: &str,
    ) -> Result<(), String> {
        for file in files {
            let Some(known) = self.known.get_mut(&file.path) else {
                continue;
            };
            if known.loaded == known.good {
                continue;
            }
            if let Some(content) = known.loaded.take() {
                known.refused = Some(Refused {
                    content,
                    words: format!("{} is refused: {words}", file.path.display()),
                    at: Instant::now(),
                });
            }
            if let Some(good) = known.good.clone() {
                put(&file.path, file.mode, &good).await?;
                known.loaded = Some(good);
            }
        }
        Ok(())
    }

    fn remembered(&self, path: &Path) -> PathBuf {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        self.folder.join(format!("{name}.good"))
    }
}

/// Absent: there is no file.
fn read(path: &Path) -> Result<Option<String>, String> {
    let failed = |error: String| format!("{}: {error}", path.display());
    match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error.to_string())),
        Ok(metadata) if metadata.len() > MOST_BYTES => {
            return Err(failed(format!("holds more than {MOST_BYTES} bytes")));
        }
        Ok(_) => {}
    }
    match fs::read(path) {
        // What is no text is another content than any that is wanted.
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) => Err(failed(error.to_string())),
    }
}

/// Where a candidate is written. Hidden, so that nobody takes it for a configuration; with the same
/// ending, by which programs tell formats.
fn part_of(path: &Path) -> Result<PathBuf, String> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| format!("{} is no file's path", path.display()))?;
    Ok(path.with_file_name(format!(".guidon.{name}")))
}

async fn write(path: &Path, mode: u32, content: &str) -> Result<(), String> {
    let (part, content) = (path.to_owned(), content.to_owned());
    blocking(path, move || {
        atomic::prepare(&part, mode, content.as_bytes())
    })
    .await
}

async fn rename(part: &Path, path: &Path) -> Result<(), String> {
    let (from, to) = (part.to_owned(), path.to_owned());
    blocking(path, move || atomic::replace(&from, &to)).await
}

async fn put(path: &Path, mode: u32, content: &str) -> Result<(), String> {
    let part = part_of(path)?;
    write(&part, mode, content).await?;
    rename(&part, path).await
}

/// Runs what waits for the disk where it may wait.
async fn blocking(
    path: &Path,
    work: impl FnOnce() -> std::io::Result<()> + Send + 'static,
) -> Result<(), String> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    done.map_err(|error| format!("cannot write {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::sync::Arc;

    use super::*;
    use crate::stack::component::Text;

    /// Refuses what holds `bad`.
    struct NoBad;

    impl Judge for NoBad {
        async fn judge(&self, candidate: &Path) -> Result<(), String> {
            match fs::read_to_string(candidate).unwrap().contains("bad") {
                true => Err("bad is in it".to_owned()),
                false => Ok(()),
            }
        }
    }

    struct Case {
        folder: tempfile::TempDir,
        files: Files,
    }

    impl Case {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let files = Files::new(folder.path().to_owned());
            Self { folder, files }
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("it.conf")
        }

        fn live(&self) -> String {
            fs::read_to_string(self.path()).unwrap()
        }

        async fn sync(&mut self, text: Text) -> Synced {
            let file = self.file(text);
            self.files.sync(&[file], &NoBad).await.unwrap()
        }

        fn file(&self, text: Text) -> ManagedFile {
            ManagedFile {
                path: self.path(),
                mode: 0o600,
                text,
            }
        }
    }

    fn whole(text: &str) -> Text {
        Text::Whole(text.to_owned())
    }

    /// Has a last line of its own, and understands no file that holds `{`.
    fn with_last_line() -> Text {
        Text::Edited(Arc::new(|live| match live {
            Some(live) if live.contains('{') => Err("there is a {".to_owned()),
            Some(live) if live.ends_with("ours\n") => Ok(live.to_owned()),
            live => Ok(format!("{}ours\n", live.unwrap_or_default())),
        }))
    }

    #[tokio::test]
    async fn a_file_is_written_once_and_a_hand_edit_is_put_back_with_a_note() {
        let mut case = Case::new();
        assert!(case.sync(whole("one")).await.changed);
        assert_eq!(case.sync(whole("one")).await, Synced::default());
        fs::write(case.path(), "by hand").unwrap();
        let synced = case.sync(whole("one")).await;
        assert!(
            synced.changed && synced.notes[0].contains("put back"),
            "{synced:?}"
        );
        assert_eq!(case.live(), "one");
        assert!(!case.folder.path().join(".guidon.it.conf").exists());
    }

    #[tokio::test]
    async fn what_the_judge_refuses_does_not_replace_the_live_file() {
        let mut case = Case::new();
        case.sync(whole("one")).await;
        case.files.commit().await.unwrap();
        let synced = case.sync(whole("bad")).await;
        assert!(!synced.changed && synced.refused, "{synced:?}");
        assert!(synced.notes[0].contains("bad is in it"), "{synced:?}");
        assert_eq!(case.live(), "one");
        assert!(case.sync(whole("two")).await.changed);
        assert_eq!(case.live(), "two");
    }

    #[tokio::test]
    async fn foreign_parts_stay_and_count_and_bad_ones_are_rolled_back() {
        let mut case = Case::new();
        fs::write(case.path(), "theirs\n").unwrap();
        assert!(case.sync(with_last_line()).await.changed);
        assert_eq!(case.live(), "theirs\nours\n");
        case.files.commit().await.unwrap();
        fs::write(case.path(), "more\nours\n").unwrap();
        let synced = case.sync(with_last_line()).await;
        assert!(synced.changed && synced.notes.is_empty(), "{synced:?}");
        case.files.commit().await.unwrap();
        for broken in ["bad\nours\n", "{"] {
            fs::write(case.path(), broken).unwrap();
            let synced = case.sync(with_last_line()).await;
            assert_eq!(synced.notes.len(), 1, "{synced:?}");
            assert_eq!(case.live(), "more\nours\n");
        }
    }

    #[tokio::test]
    async fn the_last_good_content_survives_the_agent_and_comes_back_when_the_program_refuses() {
        let mut case = Case::new();
        case.sync(whole("one")).await;
        case.files.commit().await.unwrap();
        case.files = Files::new(case.folder.path().to_owned());
        case.sync(whole("two")).await;
        let file = case.file(whole("two"));
        case.files.roll_back(&[file], "no").await.unwrap();
        assert_eq!(case.live(), "one");
        let synced = case.sync(whole("two")).await;
        assert!(
            synced.refused && synced.notes[0].contains("no"),
            "{synced:?}"
        );
        assert_eq!(case.live(), "one");
    }

    #[tokio::test]
    async fn a_folder_that_is_not_there_is_an_error_that_names_the_file() {
        let mut case = Case::new();
        let mut file = case.file(whole("one"));
        file.path = case.folder.path().join("not/there");
        let error = case.files.sync(&[file], &NoBad).await.unwrap_err();
        assert!(error.contains("not/.guidon.there"), "{error}");
    }
}
