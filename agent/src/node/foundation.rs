//! What must exist before the first thread does.

use std::os::unix::fs::DirBuilderExt;
use std::sync::Arc;

use super::{NodeError, capabilities};
use crate::config::{self, Config, Guid};
use crate::kernel::{self, Events, Kernel};

/// Host guid, kernel side and data directory.
#[derive(Debug)]
pub(super) struct Foundation {
    pub(super) guid: Guid,
    pub(super) kernel: Result<(Arc<Kernel>, Events), String>,
}

impl Foundation {
    pub(super) fn lay(config: &Config) -> Result<Self, NodeError> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&config.data_dir)
            .map_err(|source| NodeError::DataDir {
                path: config.data_dir.clone(),
                source,
            })?;
        let guid = config::host_guid(config)?;
        let kernel = load_kernel(config);
        match &kernel {
            Ok(_) => tracing::info!("kernel programs are attached"),
            Err(reason) => {
                tracing::warn!(
                    reason,
                    "no kernel programs: living on the cgroup file system alone"
                );
            }
        }
        capabilities::drop_unneeded().map_err(|error| NodeError::Capabilities(error.into()))?;
        Ok(Self { guid, kernel })
    }
}

fn load_kernel(config: &Config) -> Result<(Arc<Kernel>, Events), String> {
    if !config.collect.kernel || !config.collect.containers {
        return Err("switched off by the configuration".to_owned());
    }
    let options = kernel::Options {
        slots: config.collect.slots,
        run_queue: config.collect.run_queue,
        statistics: config.collect.program_statistics,
    };
    match Kernel::load(&options) {
        Ok((kernel, events)) => Ok((Arc::new(kernel), events)),
        Err(error) => Err(error.to_string()),
    }
}
