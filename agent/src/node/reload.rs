//! Reload: the file is read again, and what changed is put in force.

use std::sync::{Arc, PoisonError};

use super::NodeError;
use super::listeners::Listeners;
use super::rooms::Rooms;
use crate::api::ReloadError;
use crate::api::model::ReloadReport;
use crate::config::{self, Config, Effect, Secret};

impl Rooms {
    /// Reload by signal: the outcome goes to the log.
    pub(super) async fn reload_and_tell(&self) {
        match self.reload_config().await {
            Ok(report) => tracing::info!(
                applied = report.applied.join(", "),
                needs_restart = report.needs_restart.join(", "),
                "configuration reloaded"
            ),
            Err(error) => tracing::error!(%error, "configuration not reloaded, nothing changed"),
        }
    }

    /// Reads the file and applies the difference. What cannot be applied is told, and the old
    /// value of that key stays in force; keys applied before it keep their new value.
    pub(super) async fn reload_config(&self) -> Result<ReloadReport, ReloadError> {
        let replaceable = &mut *self.replaceable.lock().await;
        let new = Config::load(self.options.config_path.as_deref(), &config::environment())?;
        let old = self.config();
        let changes = Config::difference(&old, &new);
        let mut report = ReloadReport::default();
        for change in &changes {
            match change.effect {
                Effect::Live => report.applied.push(change.key.to_owned()),
                Effect::Restart => report.needs_restart.push(change.key.to_owned()),
            }
        }
        let mut in_force = Config::in_force(&old, &new);
        if in_force.api.token_file.is_none() && needs_token(&in_force) {
            // The address in force is not the one that the file now names.
            in_force.api.token_file.clone_from(&old.api.token_file);
        }

        // The token file's content may have changed where its name did not.
        let token = match &in_force.api.token_file {
            Some(path) => {
                Some(Secret::read_token(path).map_err(|error| apply("api.token_file", error))?)
            }
            None => None,
        };
        if in_force.bus != old.bus || in_force.spool != old.spool {
            let reconfigured = self.forward.reconfigure((&in_force).into()).await;
            reconfigured.map_err(|error| apply("bus", error))?;
        }
        self.take_back_ports(&old, &in_force).await;
        let moves_metrics = old.bus.otlp_metrics.is_empty() != in_force.bus.otlp_metrics.is_empty();
        if listens_otherwise(&old, &in_force) || moves_metrics {
            replaceable.listeners.stop().await;
            match self.listen(&in_force) {
                Ok(listeners) => replaceable.listeners = listeners,
                Err(error) => {
                    // The old addresses were free a moment ago.
                    match self.listen(&old) {
                        Ok(listeners) => replaceable.listeners = listeners,
                        Err(error) => tracing::error!(%error, "no listener is left"),
                    }
                    return Err(apply("receive", error));
                }
            }
        }
        self.follow_logs(replaceable, &in_force).await;
        self.apply_stack(replaceable, &in_force);
        self.access.set_token(token);
        self.collector.set_interval(in_force.collect.interval);
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(in_force);
        self.told.look();
        Ok(report)
    }
}

impl Rooms {
    /// Ends the components whose ports the agent listens on itself from now on.
    async fn take_back_ports(&self, old: &Config, new: &Config) {
        let (agent, collector) = old.stack.takes_jaeger();
        let (still_agent, still_collector) = new.stack.takes_jaeger();
        for (name, given_up) in [
            ("jaeger_agent", agent && !still_agent),
            ("jaeger_collector", collector && !still_collector),
        ] {
            if given_up {
                self.stack.end(name).await;
            }
        }
    }

    fn listen(&self, config: &Config) -> Result<Arc<Listeners>, NodeError> {
        let takes_otlp_metrics = self.forward.takes_otlp_metrics();
        Listeners::start(config, takes_otlp_metrics, &self.around).map(Arc::new)
    }
}

fn listens_otherwise(old: &Config, new: &Config) -> bool {
    let of = |config: &Config| {
        let receive = config.receive.clone();
        (
            receive.remote_write,
            receive.otlp_http,
            receive.otlp_grpc,
            receive.jaeger,
            receive.trusted,
            config.stack.takes_jaeger(),
        )
    };
    of(old) != of(new)
}

/// Whether only the token keeps strangers out.
fn needs_token(config: &Config) -> bool {
    let takes_certificates = config
        .api
        .tls
        .as_ref()
        .is_some_and(|tls| tls.client_ca.is_some());
    !config.api.listen.ip().is_loopback() && !takes_certificates
}

fn apply(key: &str, error: impl std::fmt::Display) -> ReloadError {
    ReloadError::Apply {
        key: key.to_owned(),
        message: error.to_string(),
    }
}
