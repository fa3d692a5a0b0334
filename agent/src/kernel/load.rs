//! Loading: from the embedded object to running programs, in an order that loses nothing.
//!
//! 1. Facts about the kernel become constants, sizes of maps are set, maps are made.
//! 2. The pool is filled; then the programs for birth, removal and release are attached. From here
//!    on every new cgroup has a slot.
//! 3. The cgroup tree is walked and what is found gets a slot, unless the kernel was faster. A
//!    cgroup that goes during the walk is found out by looking again after its entry was made.
//! 4. The counting programs are attached.

use std::{
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Mutex},
};

use aya::{
    Btf, Ebpf, EbpfLoader, VerifierLogLevel,
    maps::{Map as AyaMap, MapData, RingBuf},
};
use guidon_common::{CounterRecord, DelayRecord, HealthRecord, MEMOS};

use super::{
    Events, Kernel, KernelError, Options,
    book::Book,
    btf,
    counters::CounterPages,
    epoch::Epoch,
    facts::Facts,
    host::{self, Hierarchies},
    keeper::Keeper,
    memory::MemoryGauges,
    programs::{self, Programs, Scene},
    shared::{Maps, Shared},
    sys::{self, Grace, Map, Pages, Queue},
    tree,
};

/// The object, or nothing when it was built without the toolchain.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/guidon-ebpf"));

const KERNEL_TYPES: &str = "/sys/kernel/btf/vmlinux";

/// Bounds of the default number of slots.
const MIN_SLOTS: u32 = 512;
const MAX_SLOTS: u32 = 8192;
/// A host makes use of about one cgroup per this much memory at most.
const MEMORY_PER_SLOT: u64 = 8 << 20;
/// The counters' share of the host's memory, and what they may have on small hosts.
const COUNTER_SHARE: u64 = 2048;
const COUNTER_BYTES: u64 = 4 << 20;

/// The default number of slots: enough for any host of that size, within its share of memory.
fn default_slots(memory_bytes: u64, cpus: u32, run_queue: bool) -> u32 {
    let delays = if run_queue {
        size_of::<DelayRecord>()
    } else {
        0
    };
    let slot_bytes = (u64::from(cpus) * (size_of::<CounterRecord>() + delays) as u64).max(1);
    let by_memory = memory_bytes / MEMORY_PER_SLOT;
    let by_share = (memory_bytes / COUNTER_SHARE).max(COUNTER_BYTES) / slot_bytes;
    let slots = by_memory
        .min(by_share)
        .clamp(MIN_SLOTS.into(), MAX_SLOTS.into());
    u32::try_from(slots).unwrap_or(MAX_SLOTS)
}

/// Sizes of the maps.
struct Sizes {
    slots: u32,
    cpus: u32,
    /// Cgroups that can have an entry; those below containers share a slot.
    entries: u32,
    delays: u32,
}

impl Sizes {
    fn new(options: &Options) -> Result<Self, KernelError> {
        let cpus = host::possible_cpus()?;
        let slots = match options.slots {
            Some(slots) => slots.max(2),
            None => default_slots(host::memory_bytes()?, cpus, options.run_queue),
        };
        let too_many = KernelError::TooManySlots { slots, cpus };
        let counters = slots.checked_mul(cpus).ok_or(too_many)?;
        Ok(Self {
            slots,
            cpus,
            entries: slots.saturating_mul(2).max(MIN_SLOTS),
            delays: if options.run_queue { counters } else { 1 },
        })
    }
}

pub(super) fn load(options: &Options, empty_beside: bool) -> Result<(Kernel, Events), KernelError> {
    if OBJECT.is_empty() {
        return Err(KernelError::NotBuilt);
    }
    let missing = host::missing_capabilities()?;
    if !missing.is_empty() {
        return Err(KernelError::NotPermitted { missing });
    }
    let hierarchies = host::hierarchies()?;
    let sizes = Sizes::new(options)?;
    let types = std::fs::read(KERNEL_TYPES).map_err(KernelError::NoTypes)?;
    let types = btf::Btf::parse(types)?;
    let facts = Facts::gather(
        &types,
        &hierarchies,
        options,
        sizes.cpus,
        &programs::tracepoints(),
    )?;
    drop(types);
    let statistics = options.statistics.then(enable_statistics).flatten();

    let btf = Btf::from_sys_fs().map_err(|error| KernelError::Load(Box::new(error.into())))?;
    let mut object = load_object(&btf, &facts, &sizes)?;
    let (shared, events) = connect(&mut object, &sizes, hierarchies, options)?;
    let memory_map = descriptor(&object, "MEMORY")?;
    let mut programs = Programs::new(object);
    let scene = Scene {
        btf: &btf,
        facts: &facts,
        unified: &shared.hierarchies.unified,
    };

    programs.attach_essential(&scene)?;
    enumerate(&shared)?;
    programs.attach_counting(&scene, options.run_queue);
    if empty_beside {
        programs.attach_empty(&scene);
    }
    let memory = memory(
        &mut programs,
        &shared,
        &memory_map,
        sizes.entries,
        facts.lru,
    );

    for program in programs.status() {
        if let Some(reason) = program.off_because {
            tracing::info!(program = program.name, reason, "kernel program is off");
        }
    }
    // Parsing left tens of MiB of holes.
    drop(btf);
    sys::trim_heap();
    let kernel = Kernel {
        programs: Mutex::new(programs),
        memory,
        slots: sizes.slots,
        heeded: Mutex::default(),
        shared,
        _statistics: statistics,
    };
    Ok((kernel, events))
}

/// The kernel keeps statistics as long as the descriptor is open.
fn enable_statistics() -> Option<OwnedFd> {
    aya::sys::enable_stats(aya::sys::Stats::RunTime)
        .inspect_err(|error| {
            tracing::warn!(%error, "cannot turn the kernel's program statistics on");
        })
        .ok()
}

fn load_object(btf: &Btf, facts: &Facts, sizes: &Sizes) -> Result<Ebpf, KernelError> {
    let mut loader = EbpfLoader::new();
    loader
        .btf(Some(btf))
        .verifier_log_level(VerifierLogLevel::DEBUG)
        // Task storage, which only the programs use.
        .allow_unsupported_maps()
        .map_max_entries("COUNTERS", sizes.slots * sizes.cpus)
        .map_max_entries("DELAYS", sizes.delays)
        .map_max_entries("SLOT_MEMOS", sizes.cpus.saturating_mul(MEMOS))
        .map_max_entries("MEMORY", sizes.entries)
        .map_max_entries("SLOTS", sizes.entries)
        .map_max_entries("CONTAINERS", sizes.entries)
        .map_max_entries("BLOCK_SLOTS", sizes.entries)
        .map_max_entries("FREE", sizes.slots);
    for (name, value) in facts.constants() {
        loader.override_global(name, value, true);
    }
    loader
        .load(OBJECT)
        .map_err(|error| KernelError::Load(Box::new(error)))
}

/// Takes the maps out of the object, fills the pool and starts the keeper.
fn connect(
    object: &mut Ebpf,
    sizes: &Sizes,
    hierarchies: Hierarchies,
    options: &Options,
) -> Result<(Arc<Shared>, Events), KernelError> {
    let maps = Maps {
        slots: Map::new(descriptor(object, "SLOTS")?),
        containers: Map::new(descriptor(object, "CONTAINERS")?),
        block_slots: Map::new(descriptor(object, "BLOCK_SLOTS")?),
        free: Arc::new(Queue::new(descriptor(object, "FREE")?)),
        peers: Map::new(descriptor(object, "PEERS")?),
        loopback_peers: Map::new(descriptor(object, "LOOPBACK_PEERS")?),
        udp_ports: Map::new(descriptor(object, "UDP_PORTS")?),
    };
    let failed = |map| move |source| KernelError::Map { map, source };
    for slot in 1..sizes.slots {
        maps.free.push(&slot).map_err(failed("FREE"))?;
    }
    let counters = descriptor(object, "COUNTERS")?;
    let delays = descriptor(object, "DELAYS")?;
    let delays = options.run_queue.then_some(delays.as_fd());
    let pages = CounterPages::new(counters.as_fd(), delays, sizes.slots, sizes.cpus)
        .map_err(failed("COUNTERS"))?;
    let health = descriptor(object, "HEALTH")?;
    let health = Pages::of_map(health.as_fd(), size_of::<HealthRecord>());
    let pages = Arc::new(pages);
    let book = Arc::new(Mutex::new(Book::new(sizes.slots)));
    let grace = Grace::new().map_err(failed("grace period"))?;
    let keeper = Keeper::start(
        Arc::clone(&pages),
        Arc::clone(&maps.free),
        Epoch::new(Map::new(descriptor(object, "EPOCH")?)),
        Arc::clone(&book),
        grace,
    )
    .map_err(KernelError::Thread)?;
    let shared = Arc::new(Shared {
        maps,
        pages,
        health: health.map_err(failed("HEALTH"))?,
        hierarchies,
        entries: sizes.entries as usize,
        book,
        keeper,
    });
    let ring = object
        .take_map("EVENTS")
        .ok_or(KernelError::NoMap { map: "EVENTS" })?;
    let ring: RingBuf<MapData> =
        RingBuf::try_from(ring).map_err(|error| KernelError::Load(Box::new(error.into())))?;
    let events = Events::new(ring, Arc::clone(&shared));
    Ok((shared, events))
}

/// Another descriptor of a map. The object must keep its own: its programs name maps by descriptor
/// until they are loaded.
fn descriptor(object: &Ebpf, map: &'static str) -> Result<OwnedFd, KernelError> {
    let data = match object.map(map) {
        Some(
            AyaMap::Array(data)
            | AyaMap::HashMap(data)
            | AyaMap::LruHashMap(data)
            | AyaMap::Queue(data),
        ) => data,
        _ => return Err(KernelError::NoMap { map }),
    };
    let fd = data.fd().as_fd().try_clone_to_owned();
    fd.map_err(|source| KernelError::Map { map, source })
}

/// Gives slots to the cgroups that exist.
fn enumerate(shared: &Shared) -> Result<(), KernelError> {
    let root = &shared.hierarchies.unified;
    let failed = |source| KernelError::Host {
        path: root.clone(),
        source,
    };
    for branch in tree::walk(root).map_err(failed)? {
        shared.adopt(branch).map_err(|source| KernelError::Map {
            map: "SLOTS",
            source,
        })?;
    }
    Ok(())
}

/// Prepares the memory iterator, if its program could be loaded.
fn memory(
    programs: &mut Programs,
    shared: &Shared,
    map: &OwnedFd,
    entries: u32,
    lru: bool,
) -> Option<MemoryGauges> {
    const NAME: &str = "memory_gauges";
    if !programs.runs(NAME) {
        return None;
    }
    let hierarchies = &shared.hierarchies;
    let root = match &hierarchies.memory {
        None => Some(&hierarchies.unified),
        Some(hierarchy) => hierarchy.mount.as_ref(),
    };
    let Some(root) = root else {
        programs.turn_off(NAME, "the memory hierarchy is not mounted here".to_owned());
        return None;
    };
    let program = programs.descriptor(NAME)?;
    match MemoryGauges::new(&program, root, map, entries, lru) {
        Ok(gauges) => Some(gauges),
        Err(error) => {
            programs.turn_off(NAME, format!("the kernel refused to attach it: {error}"));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_grow_with_the_host_within_bounds() {
        let gib = 1 << 30;
        assert_eq!(default_slots(gib, 1, false), MIN_SLOTS);
        assert_eq!(default_slots(24 * gib, 2, true), 3072);
        assert_eq!(default_slots(512 * gib, 8, false), MAX_SLOTS);
        let wide = default_slots(512 * gib, 128, true);
        assert!(
            u64::from(wide) * 128 * 448 <= 256 << 20,
            "{wide} slots on 128 cpus"
        );
    }
}
