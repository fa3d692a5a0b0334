//! The agent's own metrics: counters that rooms hold, and sources that are asked when somebody
//! looks.
//!
//! Counting is one atomic add; the registry's lock is taken only to register and to gather. Rooms
//! below `collect` in the order cannot see this one: what they count reaches it as plain data
//! through a source (see [`ledger`]).

mod process;
mod sources;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::signal::series::{Family, FamilySamples, MetricType, PlainSample, Suffix};

pub use process::process;
pub use sources::{kernel, ledger};

/// Labels of one of the agent's own series.
pub type Labels = Vec<(&'static str, String)>;

/// A count that only goes up. Cheap to clone; all clones count together.
#[derive(Debug, Clone, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// One more.
    pub fn increment(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, amount: u64) {
        // A count on its own: nothing is published through it.
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    /// The count so far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A value that is set. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub struct Gauge(Arc<AtomicU64>);

impl Gauge {
    /// Sets the value.
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }

    /// The value.
    #[must_use]
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

type Source = Box<dyn Fn(&mut Vec<FamilySamples>) + Send + Sync>;

/// What the agent tells of itself.
#[derive(Default)]
pub struct Own {
    held: Mutex<Vec<(Family, Labels, Held)>>,
    sources: Mutex<Vec<Source>>,
}

enum Held {
    Counter(Counter),
    Gauge(Gauge),
}

impl fmt::Debug for Own {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Own").finish_non_exhaustive()
    }
}

impl Own {
    /// A counter that is shown from now on.
    pub fn counter(&self, family: Family, labels: Labels) -> Counter {
        debug_assert_eq!(family.kind, MetricType::Counter, "{}", family.name);
        let counter = Counter::default();
        self.hold(family, labels, Held::Counter(counter.clone()));
        counter
    }

    /// A gauge that is shown from now on, 0 until it is set.
    pub fn gauge(&self, family: Family, labels: Labels) -> Gauge {
        let gauge = Gauge::default();
        self.hold(family, labels, Held::Gauge(gauge.clone()));
        gauge
    }

    /// Something that is asked whenever somebody looks. It must not block.
    pub fn source(&self, source: impl Fn(&mut Vec<FamilySamples>) + Send + Sync + 'static) {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        sources.push(Box::new(source));
    }

    fn hold(&self, family: Family, labels: Labels, held: Held) {
        let mut all = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        all.push((family, labels, held));
    }

    /// All values of the moment, each family once, sorted by name.
    #[must_use]
    pub fn gather(&self) -> Vec<FamilySamples> {
        let mut found = Vec::new();
        for (family, labels, held) in self
            .held
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
        {
            let value = match held {
                Held::Counter(counter) => counter.get() as f64,
                Held::Gauge(gauge) => gauge.get(),
            };
            found.push(FamilySamples::new(*family).with(labels.clone(), value));
        }
        for source in self
            .sources
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
        {
            source(&mut found);
        }
        let mut families: HashMap<&'static str, FamilySamples> = HashMap::new();
        for one in found {
            match families.get_mut(one.family.name) {
                Some(known) => known.samples.extend(one.samples),
                None => {
                    families.insert(one.family.name, one);
                }
            }
        }
        let mut families: Vec<FamilySamples> = families.into_values().collect();
        families.sort_by_key(|family| family.family.name);
        families
    }
}

/// A family with samples of one label set each.
fn family(family: Family, samples: impl IntoIterator<Item = (Labels, f64)>) -> FamilySamples {
    let samples = samples.into_iter().map(|(labels, value)| PlainSample {
        suffix: Suffix::None,
        labels,
        value,
    });
    FamilySamples {
        family,
        samples: samples.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::catalogue::own as families;
    use crate::signal::series::{Format, render};

    #[test]
    fn a_family_of_several_owners_is_shown_once() {
        let own = Own::default();
        let part = |name: &str| vec![("part", name.to_owned())];
        own.gauge(families::DURATION, part("node")).set(0.5);
        let rounds = own.counter(families::ROUNDS, Vec::new());
        let clone = rounds.clone();
        rounds.increment();
        clone.add(2);
        own.source(move |out| out.push(family(families::DURATION, [(part("agent"), 1.0)])));
        let text = render(&own.gather(), Format::Prometheus);
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| !line.starts_with("# HELP"))
            .collect();
        assert_eq!(
            lines,
            [
                "# TYPE guidon_collect_duration_seconds gauge",
                "guidon_collect_duration_seconds{part=\"node\"} 0.5",
                "guidon_collect_duration_seconds{part=\"agent\"} 1",
                "# TYPE guidon_collect_rounds_total counter",
                "guidon_collect_rounds_total 3",
            ]
        );
    }

    #[test]
    fn the_agent_tells_of_its_own_process() {
        let mut out = Vec::new();
        process(&mut out);
        let value = |family: Family| {
            let found = out
                .iter()
                .find(|samples| samples.family.name == family.name);
            found.map_or(f64::NAN, |samples| samples.samples[0].value)
        };
        assert!(value(families::RESIDENT) > 1e6);
        assert!(value(families::VIRTUAL) > value(families::RESIDENT));
        assert!(value(families::THREADS) >= 1.0);
        assert!(value(families::OPEN_FILES) >= 3.0);
        assert!(value(families::CPU_SECONDS) >= 0.0);
        assert!(value(families::START_TIME) > 1.6e9);
    }
}
