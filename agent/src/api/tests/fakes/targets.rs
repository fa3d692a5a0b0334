//! Log targets in memory; exporters as they are; a component that is off.

use std::collections::BTreeMap;
use std::sync::Mutex;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::Fakes;
use crate::api::model::LogTargetStatus;
use crate::api::{LogTargetError, LogsHandle, StackHandle};
use crate::config::{Guid, Put};
use crate::receive::logs::FileTarget;
use crate::stack::{ComponentStatus, Exporters};

pub(in crate::api::tests) struct Targets {
    logs: Mutex<BTreeMap<Guid, Vec<String>>>,
    pub(super) exporters: Exporters,
    _folder: tempfile::TempDir,
}

impl Default for Targets {
    fn default() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let exporters = Exporters::open(folder.path(), "node-7".parse().unwrap());
        Self {
            logs: Mutex::default(),
            exporters: exporters.unwrap(),
            _folder: folder,
        }
    }
}

impl StackHandle for Fakes {
    fn list(&self) -> BoxFuture<'_, Vec<ComponentStatus>> {
        async {
            vec![ComponentStatus {
                name: "prometheus".to_owned(),
                ..ComponentStatus::default()
            }]
        }
        .boxed()
    }
}

fn status((guid, files): (&Guid, &Vec<String>)) -> LogTargetStatus {
    LogTargetStatus {
        guid: guid.clone(),
        files: files.clone(),
        following: Vec::new(),
        problems: Vec::new(),
    }
}

impl LogsHandle for Fakes {
    fn put(
        &self,
        guid: Guid,
        files: Vec<String>,
    ) -> BoxFuture<'_, Result<(Put, LogTargetStatus), LogTargetError>> {
        async move {
            let target = FileTarget { guid, files };
            target.validate(&["/var/log".into()])?;
            let (guid, files) = (target.guid, target.files);
            let seen = status((&guid, &files));
            self.targets.logs.lock().unwrap().insert(guid, files);
            Ok((Put::Created, seen))
        }
        .boxed()
    }

    fn list(&self) -> BoxFuture<'_, Vec<LogTargetStatus>> {
        async {
            self.targets
                .logs
                .lock()
                .unwrap()
                .iter()
                .map(status)
                .collect()
        }
        .boxed()
    }

    fn get(&self, guid: Guid) -> BoxFuture<'_, Result<LogTargetStatus, LogTargetError>> {
        async move {
            let logs = self.targets.logs.lock().unwrap();
            let found = logs.get_key_value(&guid).map(status);
            found.ok_or(LogTargetError::NotFound(guid))
        }
        .boxed()
    }

    fn remove(&self, guid: Guid) -> BoxFuture<'_, Result<(), LogTargetError>> {
        async move {
            let gone = self.targets.logs.lock().unwrap().remove(&guid);
            gone.map(|_| ()).ok_or(LogTargetError::NotFound(guid))
        }
        .boxed()
    }
}
