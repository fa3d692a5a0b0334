//! Managed components: from the configuration and the listeners to what they are told.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::rooms::{Replaceable, Rooms, host_name};
use crate::api::StackHandle;
use crate::config::{Config, Managed, Secret};
use crate::directory::docker::Owner;
use crate::receive::Protocol;
use crate::stack::{Around, ComponentStatus, managed_exporters, reached_at};

impl Rooms {
    /// Makes the managed components be as configured; those that are so already are not touched.
    pub(super) fn apply_stack(&self, replaceable: &Replaceable, config: &Config) {
        let scheme = match &config.api.tls {
            Some(_) => "https",
            None => "http",
        };
        // Both were read when the API started; what cannot be read any more is told by Prometheus.
        let token = config.api.token_file.as_ref();
        let certificate = config.api.tls.as_ref();
        let around = Around {
            host: self.guid.clone(),
            instance: host_name(),
            api: format!("{scheme}://{}", reached_at(self.api_address)),
            api_token: token.and_then(|path| Secret::read_token(path).ok()),
            api_certificate: certificate.and_then(|tls| std::fs::read_to_string(&tls.cert).ok()),
            otlp_http: replaceable.listeners.reached(Protocol::OtlpHttp),
            otlp_grpc: replaceable.listeners.reached(Protocol::OtlpGrpc),
            owner: Owner::of_data_dir(&config.data_dir).0,
            log_targets: self.log_targets.all().into_values().collect(),
            remote_write: replaceable.listeners.reached(Protocol::RemoteWrite),
            relay_token: self.around.relay_token.clone(),
        };
        self.collector.send_node(sends_node(config));
        self.exporters
            .set_managed(managed_exporters(config, &around));
        self.stack.apply(config, &around);
    }
}

/// Whether the agent's own host metrics go to the bus: a node exporter's are the same.
pub(super) fn sends_node(config: &Config) -> bool {
    config.stack.node_exporter.component.managed == Managed::Off
}

impl StackHandle for Rooms {
    fn list(&self) -> BoxFuture<'_, Vec<ComponentStatus>> {
        self.stack.list().boxed()
    }
}
