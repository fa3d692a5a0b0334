//! `GET /api/v1/status` and `/readyz`: what the rooms say of themselves, side by side.

use std::collections::BTreeMap;

use super::rooms::Rooms;
use crate::api::model::{
    ClusterMember, ClusterRole, ClusterStatus, CollectStatus, Destination, DockerStatus,
    ForwardStatus, GuidRow, KernelStatus, LedgerLine, Program, Readiness, RoomReadiness, Status,
};
use crate::collect::Row;
use crate::forward::Route;
use crate::signal::Signal;
use crate::stack::ComponentState;

pub(super) fn status(rooms: &Rooms) -> Status {
    let config = rooms.config();
    let overview = rooms.collector.overview();
    Status {
        guid: rooms.guid.to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_seconds: rooms.started.elapsed().as_secs_f64(),
        collect: CollectStatus {
            interval_seconds: config.collect.interval.as_secs_f64(),
            rounds: overview.rounds,
            last_round_seconds: overview.last_round.as_secs_f64(),
            series: overview.series,
            containers: overview.containers,
        },
        kernel: kernel(rooms),
        forward: forward(rooms),
        docker: docker(rooms),
        stack: rooms
            .stack
            .overview()
            .into_iter()
            .filter(|one| one.state != ComponentState::Off)
            .collect(),
        inactive: config.inactive().into_iter().map(str::to_owned).collect(),
        guids: overview.rows.iter().map(guid_row).collect(),
    }
}

/// The node stands alone.
pub(super) fn cluster(rooms: &Rooms) -> ClusterStatus {
    let itself = ClusterMember {
        guid: rooms.guid.to_string(),
        api: rooms.config().api.listen.to_string(),
        role: ClusterRole::Alone,
    };
    ClusterStatus {
        members: vec![itself],
        ..ClusterStatus::default()
    }
}

pub(super) fn readiness(rooms: &Rooms) -> Readiness {
    let room = |room: &str, ready: bool, reason: Option<String>| RoomReadiness {
        room: room.to_owned(),
        ready,
        reason: reason.filter(|_| !ready),
    };
    let has_collected = rooms.collector.overview().rounds > 0;
    let docker = rooms.docker.get();
    let listed = vec![
        room(
            "collect",
            has_collected,
            Some("the first round is not done".to_owned()),
        ),
        room("docker", docker.connected, docker.last_error),
    ];
    // Collection goes on without Docker, and Docker comes back by itself: the agent does its work
    // either way, so Docker is told but does not decide.
    Readiness {
        ready: has_collected,
        rooms: listed,
    }
}

fn kernel(rooms: &Rooms) -> KernelStatus {
    let kernel = match &rooms.kernel {
        Ok(kernel) => kernel,
        Err(reason) => {
            return KernelStatus {
                reason: Some(reason.clone()),
                ..KernelStatus::default()
            };
        }
    };
    let status = kernel.status();
    let programs = status
        .programs
        .into_iter()
        .map(|program| Program {
            name: program.name.to_owned(),
            attached: program.off_because.is_none(),
            reason: program.off_because,
            run_count: program.run_count,
            run_seconds: program.run_ns as f64 / 1e9,
        })
        .collect();
    KernelStatus {
        loaded: true,
        reason: None,
        programs,
        slots: status.slots,
        slots_free: status.slots_free,
        slot_misses: status.slot_misses,
        events_lost: status.events_lost,
    }
}

fn docker(rooms: &Rooms) -> DockerStatus {
    let connection = rooms.docker.get();
    let directory = rooms.directory.load();
    DockerStatus {
        connected: connection.connected,
        reason: connection.last_error.filter(|_| !connection.connected),
        containers: directory
            .containers()
            .filter(|container| container.pid != 0)
            .count() as u64,
    }
}

fn forward(rooms: &Rooms) -> ForwardStatus {
    let ledger = rooms.forward.ledger();
    let mut lines: BTreeMap<&str, LedgerLine> = [Signal::Metrics, Signal::Logs, Signal::Traces]
        .into_iter()
        .map(|signal| {
            let line = LedgerLine {
                signal: signal.as_str().to_owned(),
                ..LedgerLine::default()
            };
            (signal.as_str(), line)
        })
        .collect();
    for audit in ledger.audit() {
        if let Some(line) = lines.get_mut(audit.signal) {
            line.received += audit.received;
            line.collected += audit.collected;
            line.sent += audit.sent;
            line.spooled += audit.spooled;
            line.in_flight += audit.in_flight;
        }
    }
    for row in ledger
        .records()
        .into_iter()
        .filter(|row| row.stage == "dropped")
    {
        if let Some(line) = lines.get_mut(row.signal) {
            *line.dropped.entry(row.reason.to_owned()).or_default() += row.records;
        }
    }
    let max_bytes = rooms.config().spool.max_bytes;
    let destinations = rooms
        .forward
        .destinations()
        .into_iter()
        .map(|status| Destination {
            signal: signal_of(status.route).to_owned(),
            destination: status.destination,
            healthy: status.failing_seconds.is_none(),
            last_error: status.last_error,
            waiting_records: status.holdings.records + status.holdings.in_flight,
            spool_bytes: status.holdings.bytes,
            spool_max_bytes: max_bytes,
        })
        .collect();
    ForwardStatus {
        ledger: lines.into_values().collect(),
        destinations,
    }
}

fn signal_of(route: Route) -> &'static str {
    match route {
        Route::Metrics | Route::OtlpMetrics => Signal::Metrics.as_str(),
        Route::Logs => Signal::Logs.as_str(),
        Route::Traces => Signal::Traces.as_str(),
    }
}

fn guid_row(row: &Row) -> GuidRow {
    GuidRow {
        guid: row.guid.as_ref().map(ToString::to_string),
        name: row.name.clone(),
        containers: row.containers.into(),
        cpu_cores: row.cpu,
        run_queue_seconds_per_second: row.run_queue,
        memory_bytes: row.memory_bytes,
        receive_bytes_per_second: row.receive_bytes,
        transmit_bytes_per_second: row.transmit_bytes,
        read_bytes_per_second: row.read_bytes,
        write_bytes_per_second: row.write_bytes,
    }
}
