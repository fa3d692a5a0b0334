//! Connects the API's handles to the rooms.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::rooms::Rooms;
use super::status;
use crate::api::model::{ClusterStatus, Readiness, ReloadReport, Status};
use crate::api::{
    AppsHandle, BusError, BusFrame, BusHandle, BusPage, Handles, MetricsHandle, MetricsPage,
    Position, ReloadError, ReloadHandle, StatusHandle, Unavailable,
};
use crate::collect::Page;
use crate::config::Guid;
use crate::drive::{App, AppStatus, DriveError, Outcome};
use crate::forward;
use crate::signal::Signal;
use crate::signal::series::Format;

pub(super) fn of(rooms: &Arc<Rooms>) -> Handles {
    Handles {
        apps: rooms.clone(),
        status: rooms.clone(),
        metrics: rooms.clone(),
        logs: rooms.clone(),
        exporters: Arc::new(rooms.exporters.clone()),
        stack: rooms.clone(),
        bus: rooms.clone(),
        reload: rooms.clone(),
    }
}

impl AppsHandle for Rooms {
    fn put(&self, guid: Guid, app: App) -> BoxFuture<'_, Result<(Outcome, AppStatus), DriveError>> {
        async move {
            let outcome = self.apps.put(guid.clone(), app).await?;
            Ok((outcome, self.apps.get(&guid).await?))
        }
        .boxed()
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<AppStatus>, DriveError>> {
        async { Ok(self.apps.list().await) }.boxed()
    }

    fn get(&self, guid: Guid) -> BoxFuture<'_, Result<AppStatus, DriveError>> {
        async move { self.apps.get(&guid).await }.boxed()
    }

    fn remove(&self, guid: Guid) -> BoxFuture<'_, Result<(), DriveError>> {
        async move { self.apps.delete(&guid).await }.boxed()
    }
}

impl StatusHandle for Rooms {
    fn status(&self) -> BoxFuture<'_, Status> {
        async { status::status(self) }.boxed()
    }

    fn cluster(&self) -> ClusterStatus {
        status::cluster(self)
    }

    fn readiness(&self) -> BoxFuture<'_, Readiness> {
        async { status::readiness(self) }.boxed()
    }
}

impl MetricsHandle for Rooms {
    fn render(
        &self,
        page: MetricsPage,
        format: Format,
    ) -> BoxFuture<'_, Result<Bytes, Unavailable>> {
        let page = match page {
            MetricsPage::Agent => Page::Agent,
            MetricsPage::Containers => Page::Containers,
            MetricsPage::Node => Page::Node,
        };
        async move {
            let text = self.collector.text(page, format).await;
            text.map(Bytes::from).map_err(|off| Unavailable {
                reason: off.to_string(),
            })
        }
        .boxed()
    }
}

impl BusHandle for Rooms {
    fn read(
        &self,
        signal: Signal,
        position: Position,
        max_bytes: usize,
        wait: Duration,
    ) -> BoxFuture<'_, Result<BusPage, BusError>> {
        async move {
            let reader = self
                .forward
                .bus(signal)
                .ok_or(BusError::Elsewhere(signal.as_str()))?;
            let cursor = match position {
                Position::Oldest => None,
                Position::Latest => reader.end(),
                Position::After(text) => Some(text.parse().map_err(|_| BusError::BadCursor)?),
            };
            let page = reader
                .read(cursor, max_bytes, wait)
                .await
                .map_err(|error| match error {
                    forward::BusError::Unavailable | forward::BusError::Io(_) => {
                        BusError::Unavailable(error.to_string())
                    }
                })?;
            let frames = page
                .frames
                .into_iter()
                .map(|(after, frame)| BusFrame {
                    frame,
                    after: after.to_string(),
                })
                .collect();
            let skipped = page.missed > 0 || page.restarted;
            Ok(BusPage {
                frames,
                next: page.next.to_string(),
                skipped,
            })
        }
        .boxed()
    }
}

impl ReloadHandle for Rooms {
    fn reload(&self) -> BoxFuture<'_, Result<ReloadReport, ReloadError>> {
        self.reload_config().boxed()
    }
}
