//! The agent's own process.

use std::path::Path;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::collect::catalogue::own as families;
use crate::collect::scan;
use crate::signal::series::FamilySamples;

/// `USER_HZ`, see `collect::node`.
const TICKS_PER_SECOND: f64 = 100.0;

/// What the kernel says of this process, in the names that Prometheus' own libraries use.
pub fn process(out: &mut Vec<FamilySamples>) {
    let mut buffer = Vec::new();
    if scan::read_path(Path::new("/proc/self/stat"), &mut buffer).is_ok() {
        stat(&buffer, out);
    }
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        // The directory that is being read is one of them.
        let open = files.count().saturating_sub(1);
        out.push(FamilySamples::single(families::OPEN_FILES, open as f64));
    }
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let limit = limit.map_or(f64::INFINITY, |limit| limit as f64);
    out.push(FamilySamples::single(families::MAX_FILES, limit));
    if let Some(started) = started() {
        out.push(FamilySamples::single(families::START_TIME, started));
    }
}

fn stat(bytes: &[u8], out: &mut Vec<FamilySamples>) {
    // The name in parentheses may hold anything; fields are counted from behind it.
    let Some(end) = bytes.iter().rposition(|&byte| byte == b')') else {
        return;
    };
    let fields: Vec<&[u8]> = scan::words(&bytes[end + 1..]).collect();
    let field = |at: usize| fields.get(at).and_then(|field| scan::float(field));
    // Numbered as in proc(5), where the field behind the name is the third.
    let (user, system, threads, size, resident) =
        (field(11), field(12), field(17), field(20), field(21));
    let page = rustix::param::page_size() as f64;
    let values = [
        (
            families::CPU_SECONDS,
            user.zip(system)
                .map(|(user, system)| (user + system) / TICKS_PER_SECOND),
        ),
        (families::THREADS, threads),
        (families::VIRTUAL, size),
        (families::RESIDENT, resident.map(|pages| pages * page)),
    ];
    for (family, value) in values {
        out.extend(value.map(|value| FamilySamples::single(family, value)));
    }
}

/// Unix time of the first call, which the agent makes when it starts.
fn started() -> Option<f64> {
    static STARTED: OnceLock<Option<f64>> = OnceLock::new();
    *STARTED.get_or_init(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        Some(now.as_secs_f64())
    })
}
