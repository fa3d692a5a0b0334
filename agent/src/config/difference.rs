//! What a reload changes.

use super::Config;

/// How a changed key comes into force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// At once: only the rooms that the key concerns notice.
    Live,
    /// At the next start of the agent; until then the old value stays in force.
    Restart,
}

/// One changed key (or section, where its keys go together).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// Path of the key, e.g. `bus.metrics`.
    pub key: &'static str,
    pub effect: Effect,
}

/// Hands every key with its effect to a macro. The spool, the identity and the loaded kernel
/// programs belong to a whole run; what listens on the API port answers the very request that asks
/// for the reload.
macro_rules! keys {
    ($with:ident) => {
        $with! {
        Restart guid;
        Restart data_dir;
        Restart api.listen;
        Live api.token_file;
        Restart api.tls;
        Live bus.metrics;
        Live bus.logs;
        Live bus.traces;
        Live bus.otlp_metrics;
        Live collect.interval;
        Restart collect.kernel;
        Restart collect.containers;
        Restart collect.node;
        Restart collect.run_queue;
        Restart collect.program_statistics;
        Restart collect.slots;
        Live receive.remote_write;
        Live receive.otlp_http;
        Live receive.otlp_grpc;
        Live receive.jaeger;
        Live receive.apps;
        Live receive.logs;
        Live receive.log_files;
        Live receive.trusted;
        Live spool.max_bytes;
        Live spool.when_full;
        Restart spool.durability;
        Live spool.fsync_interval;
        Restart docker.socket;
        Restart docker.credentials_file;
        Restart docker.allow;
        Restart cluster;
        Restart kubernetes;
        Live stack.prometheus;
        Live stack.node_exporter;
        Live stack.vector;
        Live stack.jaeger_collector;
        Live stack.jaeger_agent;
        }
    };
}

impl Config {
    /// What is different in `new`, in the order of the file.
    #[must_use]
    pub fn difference(old: &Self, new: &Self) -> Vec<Change> {
        use Effect::{Live, Restart};
        let mut changes = Vec::new();
        macro_rules! compare {
            ($($effect:ident $($part:ident).+;)+) => {
                $(if old.$($part).+ != new.$($part).+ {
                    changes.push(Change {
                        key: concat!(compare!(@key $($part).+)),
                        effect: $effect,
                    });
                })+
            };
            (@key $first:ident $(. $rest:ident)*) => {
                concat!(stringify!($first) $(, ".", stringify!($rest))*)
            };
        }
        keys!(compare);
        changes
    }

    /// What a reload puts in force: `new`, but what takes a restart as it is in `old`, so that the
    /// next difference tells of it again.
    #[must_use]
    pub fn in_force(old: &Self, new: &Self) -> Self {
        let mut in_force = new.clone();
        macro_rules! keep {
            ($($effect:ident $($part:ident).+;)+) => {
                $(if Effect::$effect == Effect::Restart {
                    in_force.$($part).+.clone_from(&old.$($part).+);
                })+
            };
        }
        keys!(keep);
        in_force
    }

    /// Keys that are set and valid, but that this version does not act on yet. The agent names
    /// them once at start.
    #[must_use]
    pub fn inactive(&self) -> Vec<&'static str> {
        [
            ("cluster", self.cluster.is_some()),
            ("kubernetes", self.kubernetes.enabled),
        ]
        .into_iter()
        .filter_map(|(key, is_set)| is_set.then_some(key))
        .collect()
    }
}
