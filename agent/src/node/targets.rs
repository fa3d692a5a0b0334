//! Log targets: from the API's handle to the tailer.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::rooms::{Replaceable, Rooms, start_logs, stop_logs};
use crate::api::model::LogTargetStatus;
use crate::api::{LogTargetError, LogsHandle, blocking};
use crate::config::{Config, Guid, Put};
use crate::receive::logs::FileTarget;

impl Rooms {
    /// Has logs followed as configuration and targets say. A tailer that follows other things than
    /// before is replaced: positions are kept. What a managed Vector reads is not followed.
    pub(super) async fn follow_logs(&self, replaceable: &mut Replaceable, config: &Config) {
        let targets: Vec<FileTarget> = match config.stack.reads_logs() {
            true => Vec::new(),
            false => self.log_targets.all().into_values().collect(),
        };
        let containers = tails_containers(config);
        let follows = replaceable
            .logs
            .as_ref()
            .map(|logs| logs.follows_containers());
        let wanted = (containers || !targets.is_empty()).then_some(containers);
        if follows != wanted {
            stop_logs(replaceable.logs.take()).await;
            if wanted.is_some() {
                replaceable.logs = start_logs(config, &self.around);
            }
        }
        if let Some(logs) = &replaceable.logs {
            logs.set_targets(targets, config.receive.log_files.clone());
        }
    }

    async fn targets_changed(&self) {
        let replaceable = &mut *self.replaceable.lock().await;
        let config = self.config();
        self.follow_logs(replaceable, &config).await;
        self.apply_stack(replaceable, &config);
    }

    async fn log_target(&self, target: FileTarget) -> LogTargetStatus {
        let logs = self.replaceable.lock().await.logs.clone();
        let state = logs
            .map(|logs| logs.state(&target.guid))
            .unwrap_or_default();
        LogTargetStatus {
            guid: target.guid,
            files: target.files,
            following: state.following,
            problems: state.problems,
        }
    }
}

/// Whether the agent itself reads what containers print.
pub(super) fn tails_containers(config: &Config) -> bool {
    config.receive.logs && !config.stack.reads_logs()
}

impl LogsHandle for Rooms {
    fn put(
        &self,
        guid: Guid,
        files: Vec<String>,
    ) -> BoxFuture<'_, Result<(Put, LogTargetStatus), LogTargetError>> {
        async move {
            let target = FileTarget { guid, files };
            target.validate(&self.config().receive.log_files)?;
            let (kept, item) = (Arc::clone(&self.log_targets), target.clone());
            let put = blocking(move || kept.put(&item.guid.clone().to_string(), item)).await?;
            self.targets_changed().await;
            Ok((put, self.log_target(target).await))
        }
        .boxed()
    }

    fn list(&self) -> BoxFuture<'_, Vec<LogTargetStatus>> {
        async {
            let mut targets = Vec::new();
            for target in self.log_targets.all().into_values() {
                targets.push(self.log_target(target).await);
            }
            targets
        }
        .boxed()
    }

    fn get(&self, guid: Guid) -> BoxFuture<'_, Result<LogTargetStatus, LogTargetError>> {
        async move {
            match self.log_targets.get(guid.as_str()) {
                Some(target) => Ok(self.log_target(target).await),
                None => Err(LogTargetError::NotFound(guid)),
            }
        }
        .boxed()
    }

    fn remove(&self, guid: Guid) -> BoxFuture<'_, Result<(), LogTargetError>> {
        async move {
            let (kept, name) = (Arc::clone(&self.log_targets), guid.to_string());
            if !blocking(move || kept.remove(&name)).await? {
                return Err(LogTargetError::NotFound(guid));
            }
            self.targets_changed().await;
            Ok(())
        }
        .boxed()
    }
}
