//! What other rooms count about themselves, beside the collector's own: the ledger, the listeners,
//! the destinations, the log tailer, Docker, managed components.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use super::rooms::Rooms;
use crate::collect::catalogue::own as families;
use crate::collect::own;
use crate::signal::series::FamilySamples;
use crate::stack::ComponentState;

/// Adds the rooms' counters to the agent's own metrics. The registry holds the rooms weakly: it is
/// one of them.
pub(super) fn register(rooms: &Arc<Rooms>) {
    let weak = Arc::downgrade(rooms);
    rooms.collector.own().source(move |out| {
        if let Some(rooms) = Weak::upgrade(&weak) {
            own::ledger(&rooms.forward.ledger(), out);
            destinations(&rooms, out);
            docker(&rooms, out);
            stack(&rooms, out);
            // A reload under way replaces what is asked here: the next scrape sees it.
            if let Ok(replaceable) = rooms.replaceable.try_lock() {
                listeners(&replaceable.listeners.stats().snapshot(), out);
                if let Some(logs) = &replaceable.logs {
                    tailer(logs.statistics(), out);
                }
            }
        }
    });
}

fn text(value: &str) -> String {
    value.to_owned()
}

fn destinations(rooms: &Rooms, out: &mut Vec<FamilySamples>) {
    let mut requests = FamilySamples::new(families::FORWARD_REQUESTS);
    let mut retries = FamilySamples::new(families::FORWARD_RETRIES);
    let mut failing = FamilySamples::new(families::FORWARD_FAILING);
    for status in rooms.forward.destinations() {
        let labels = || {
            vec![
                ("signal", text(status.route.as_str())),
                ("destination", status.destination.clone()),
            ]
        };
        requests = requests.with(labels(), status.requests as f64);
        retries = retries.with(labels(), status.retries as f64);
        failing = failing.with(labels(), status.failing_seconds.unwrap_or(0.0));
    }
    out.extend([requests, retries, failing]);
}

fn docker(rooms: &Rooms, out: &mut Vec<FamilySamples>) {
    let connected = rooms.docker.get().connected;
    out.push(FamilySamples::single(
        families::DOCKER_CONNECTED,
        f64::from(u8::from(connected)),
    ));
}

fn stack(rooms: &Rooms, out: &mut Vec<FamilySamples>) {
    let mut states = FamilySamples::new(families::STACK_STATE);
    let mut restarts = FamilySamples::new(families::STACK_RESTARTS);
    let mut reloads = FamilySamples::new(families::STACK_RELOADS);
    let on = rooms.stack.overview().into_iter();
    for status in on.filter(|status| status.state != ComponentState::Off) {
        let component = || ("component", status.name.clone());
        for state in ComponentState::ALL
            .into_iter()
            .filter(|it| *it != ComponentState::Off)
        {
            let labels = vec![component(), ("state", text(state.as_str()))];
            states = states.with(labels, f64::from(u8::from(status.state == state)));
        }
        restarts = restarts.with(vec![component()], status.restarts as f64);
        reloads = reloads.with(vec![component()], status.reloads as f64);
    }
    out.extend([states, restarts, reloads]);
}

fn listeners(stats: &crate::receive::Snapshot, out: &mut Vec<FamilySamples>) {
    let mut requests = FamilySamples::new(families::RECEIVE_REQUESTS);
    for &(listener, code, count) in &stats.requests {
        let labels = vec![("listener", text(listener)), ("code", text(code))];
        requests = requests.with(labels, count as f64);
    }
    let mut refused = FamilySamples::new(families::RECEIVE_REFUSED);
    for &(listener, reason, count) in &stats.refused {
        let labels = vec![("listener", text(listener)), ("reason", text(reason))];
        refused = refused.with(labels, count as f64);
    }
    let mut datagrams = FamilySamples::new(families::RECEIVE_DATAGRAMS);
    for &(listener, count) in &stats.datagrams {
        datagrams = datagrams.with(vec![("listener", text(listener))], count as f64);
    }
    let mut forged = FamilySamples::new(families::RECEIVE_FORGED);
    for &(signal, count) in &stats.forged {
        forged = forged.with(vec![("signal", text(signal))], count as f64);
    }
    out.extend([requests, refused, datagrams, forged]);
}

fn tailer(statistics: &crate::receive::logs::Statistics, out: &mut Vec<FamilySamples>) {
    for (family, value) in [
        (families::LOGS_FILES, &statistics.files),
        (families::LOGS_STREAMS, &statistics.streams),
        (families::LOGS_UNREADABLE, &statistics.unreadable),
        (families::LOGS_LINES, &statistics.lines),
        (families::LOGS_MALFORMED, &statistics.malformed),
        (families::LOGS_LAG, &statistics.lag_bytes),
        (families::LOGS_REFUSED, &statistics.refused),
        (families::LOGS_ERRORS, &statistics.errors),
    ] {
        out.push(FamilySamples::single(
            family,
            value.load(Ordering::Relaxed) as f64,
        ));
    }
}
