//! The node's own guid.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use rand::Rng;
use uuid::Uuid;

use super::{Config, Guid};

/// Where the machine id is found, first come first served.
const MACHINE_ID_FILES: [&str; 2] = ["/etc/machine-id", "/var/lib/dbus/machine-id"];
/// Machine ids are confidential; what is derived from one must not lead back to it or be the same
/// as another program's (man machine-id).
const NAMESPACE: Uuid = Uuid::from_u128(0x6775_6964_6f6e_4d61_8869_6e65_2d69_6421);

/// Why the node has no guid.
#[derive(Debug, thiserror::Error)]
pub enum HostGuidError {
    /// The data directory cannot be used.
    #[error("cannot keep the host guid in {}: {source}", path.display())]
    Keep { path: PathBuf, source: io::Error },
    /// The kept file holds something else.
    #[error("{} holds {content:?}, which is no guid; correct the file or remove it", path.display())]
    Kept { path: PathBuf, content: String },
}

/// The host guid: the configured one; else the one kept in the data directory; else one derived
/// from the machine id (random where there is none), which is then kept there.
pub fn host_guid(config: &Config) -> Result<Guid, HostGuidError> {
    match &config.guid {
        Some(guid) => Ok(guid.clone()),
        None => kept_or_derived(&config.data_dir, &MACHINE_ID_FILES.map(Path::new)),
    }
}

fn kept_or_derived(data_dir: &Path, machine_id_files: &[&Path]) -> Result<Guid, HostGuidError> {
    let path = data_dir.join("guid");
    let keep_error = |source| HostGuidError::Keep {
        path: path.clone(),
        source,
    };
    match fs::read_to_string(&path) {
        Ok(content) => return parse_kept(path, &content),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(keep_error(error)),
    }
    let machine_id = machine_id_files.iter().find_map(|file| machine_id(file));
    let guid = derived(machine_id.as_deref());
    match keep(data_dir, &path, &guid) {
        Ok(()) => Ok(guid),
        // Another start of the agent was faster: what it kept counts.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let content = fs::read_to_string(&path).map_err(keep_error)?;
            parse_kept(path, &content)
        }
        Err(error) => Err(keep_error(error)),
    }
}

fn parse_kept(path: PathBuf, content: &str) -> Result<Guid, HostGuidError> {
    content.trim().parse().map_err(|_| HostGuidError::Kept {
        path,
        content: content.trim().chars().take(80).collect(),
    })
}

/// The machine id, where the file holds one (an image may ship it empty or as `uninitialized`).
fn machine_id(file: &Path) -> Option<String> {
    let content = fs::read_to_string(file).ok()?;
    let id = content.trim();
    let is_id = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| id.to_ascii_lowercase())
}

/// `node-` and 12 hex digits.
fn derived(machine_id: Option<&str>) -> Guid {
    let digits = match machine_id {
        Some(id) => Uuid::new_v5(&NAMESPACE, id.as_bytes()).as_u128() >> 80,
        None => rand::rng().random::<u128>() >> 80,
    };
    Guid::from_host_digits(digits)
}

/// Writes the file whole or not at all, and never over another.
fn keep(data_dir: &Path, path: &Path, guid: &Guid) -> io::Result<()> {
    fs::create_dir_all(data_dir)?;
    let temporary = data_dir.join(format!(".guid.{}", std::process::id()));
    let written = (|| {
        let mut file = File::create(&temporary)?;
        writeln!(file, "{guid}")?;
        file.sync_all()?;
        fs::hard_link(&temporary, path)?;
        File::open(data_dir)?.sync_all()
    })();
    fs::remove_file(&temporary).ok();
    written
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::fs;
    use std::path::Path;

    use super::{Config, HostGuidError, host_guid, kept_or_derived};

    const MACHINE_ID: &str = "0123456789abcdef0123456789abcdef\n";

    #[test]
    fn the_guid_is_derived_from_the_machine_id_once_and_then_kept() {
        let folder = tempfile::tempdir().unwrap();
        let id_file = folder.path().join("machine-id");
        fs::write(&id_file, MACHINE_ID).unwrap();
        let data_dir = folder.path().join("new/data");
        let derive = || kept_or_derived(&data_dir, &[Path::new("/nowhere"), &id_file]);

        let first = derive().unwrap();
        assert!(first.as_str().starts_with("node-") && first.as_str().len() == 17);
        assert!(!MACHINE_ID.contains(&first.as_str()[5..]));

        fs::write(&id_file, MACHINE_ID.replace('0', "f")).unwrap();
        assert_eq!(derive().unwrap(), first, "what is kept counts");
        assert_eq!(fs::read_dir(&data_dir).unwrap().count(), 1, "no leftovers");

        fs::remove_file(data_dir.join("guid")).unwrap();
        assert_ne!(derive().unwrap(), first, "another machine, another guid");
    }

    #[test]
    fn without_a_machine_id_the_guid_is_random_and_survives() {
        let folder = tempfile::tempdir().unwrap();
        let id_file = folder.path().join("machine-id");
        fs::write(&id_file, "uninitialized\n").unwrap();
        let [one, other] = ["one", "other"].map(|name| {
            let data_dir = folder.path().join(name);
            let guid = kept_or_derived(&data_dir, &[&id_file]).unwrap();
            assert_eq!(kept_or_derived(&data_dir, &[&id_file]).unwrap(), guid);
            guid
        });
        assert_ne!(one, other);
    }

    #[test]
    fn a_damaged_file_is_named_and_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("guid");
        fs::write(&path, "No Guid").unwrap();
        let config = Config {
            data_dir: folder.path().to_owned(),
            ..Config::default()
        };
        assert!(matches!(
            host_guid(&config),
            Err(HostGuidError::Kept { .. })
        ));
        assert_eq!(fs::read_to_string(&path).unwrap(), "No Guid");

        let configured = Config {
            guid: Some("node-7".parse().unwrap()),
            ..config
        };
        assert_eq!(host_guid(&configured).unwrap().as_str(), "node-7");
    }

    #[test]
    fn a_data_directory_that_cannot_be_made_is_an_error() {
        let config = Config {
            data_dir: "/proc/guidon".into(),
            ..Config::default()
        };
        assert!(matches!(
            host_guid(&config),
            Err(HostGuidError::Keep { .. })
        ));
    }
}
