//! The `bpf` system call and mapped pages, as far as the room needs them beyond aya: operations on
//! maps through a shared descriptor, cgroup iterators, maps of maps.

#![allow(
    unsafe_code,
    reason = "system calls that no library offers, and mapped pages"
)]

use std::{
    io,
    mem::size_of,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    ptr::NonNull,
    slice,
    sync::atomic::AtomicI64,
};

// Also for whoever reads the words of [`Pages`].
pub(super) use std::sync::atomic::{AtomicU64, Ordering};

use aya::Pod;
use tokio::io::{Interest, unix::AsyncFd};

const MAP_CREATE: i64 = 0;
const MAP_LOOKUP: i64 = 1;
const MAP_UPDATE: i64 = 2;
const MAP_DELETE: i64 = 3;
const MAP_NEXT_KEY: i64 = 4;
const MAP_LOOKUP_AND_DELETE: i64 = 21;
const LINK_CREATE: i64 = 28;
const ITER_CREATE: i64 = 33;

const ATTACH_TRACE_ITER: u32 = 28;
/// `BPF_CGROUP_ITER_DESCENDANTS_PRE`.
const DESCENDANTS_PRE: u32 = 2;
const MAP_TYPE_ARRAY: u32 = 2;
const MAP_TYPE_ARRAY_OF_MAPS: u32 = 12;

/// Make a new entry or replace an old one.
pub(super) const ANY: u64 = 0;
/// Make a new entry only.
pub(super) const NO_EXIST: u64 = 1;

#[repr(C)]
struct ElementRequest {
    map: u32,
    pad: u32,
    key: u64,
    /// The value, or the next key.
    value: u64,
    flags: u64,
}

#[repr(C)]
struct MapRequest {
    kind: u32,
    key_bytes: u32,
    value_bytes: u32,
    entries: u32,
    flags: u32,
    inner: u32,
}

#[repr(C)]
struct LinkRequest {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
    info: u64,
    info_bytes: u32,
    pad: u32,
}

#[repr(C)]
struct CgroupIteration {
    order: u32,
    cgroup: u32,
    cgroup_id: u64,
}

#[repr(C)]
struct IterRequest {
    link: u32,
    flags: u32,
}

/// # Safety
/// `request` is what the kernel expects for `command`, and pointers in it are valid for it.
unsafe fn bpf<T>(command: i64, request: &T) -> io::Result<i64> {
    // SAFETY: by contract of this function.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_ref(request),
            size_of::<T>(),
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// # Safety
/// As for [`bpf`]; the command returns a descriptor.
unsafe fn bpf_fd<T>(command: i64, request: &T) -> io::Result<OwnedFd> {
    // SAFETY: by contract of this function.
    let fd = unsafe { bpf(command, request) }?;
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn number(fd: BorrowedFd<'_>) -> u32 {
    // A borrowed descriptor is never negative.
    fd.as_raw_fd().unsigned_abs()
}

fn address<T>(value: &T) -> u64 {
    std::ptr::from_ref(value) as u64
}

/// `Ok(None)` for "no such entry".
fn entry<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A map, with its key and value types. Shared freely: the kernel does the locking.
#[derive(Debug)]
pub(super) struct Map<K, V> {
    fd: OwnedFd,
    types: std::marker::PhantomData<fn(K) -> V>,
}

impl<K: Pod, V: Pod> Map<K, V> {
    /// Takes a descriptor whose map has keys of size `K` and values of size `V`: the caller vouches
    /// by naming the types; sizes come from the object and are asserted in `common`.
    pub(super) fn new(fd: OwnedFd) -> Self {
        Self {
            fd,
            types: std::marker::PhantomData,
        }
    }

    fn request(&self, key: u64, value: u64, flags: u64) -> ElementRequest {
        ElementRequest {
            map: number(self.fd.as_fd()),
            pad: 0,
            key,
            value,
            flags,
        }
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &K) -> io::Result<Option<V>> {
        // SAFETY: `Pod` types have no invalid bit patterns.
        let mut value: V = unsafe { std::mem::zeroed() };
        let to = std::ptr::from_mut(&mut value) as u64;
        let request = self.request(address(key), to, 0);
        // SAFETY: key and value are of the map's sizes and live through the call.
        let found = entry(unsafe { bpf(MAP_LOOKUP, &request) })?;
        Ok(found.map(|_| value))
    }

    /// Sets the value of a key; with [`NO_EXIST`] an entry that is there is an error (`EEXIST`).
    pub(super) fn set(&self, key: &K, value: &V, flags: u64) -> io::Result<()> {
        let request = self.request(address(key), address(value), flags);
        // SAFETY: key and value are of the map's sizes and live through the call.
        unsafe { bpf(MAP_UPDATE, &request) }.map(drop)
    }

    /// Deletes an entry; says whether there was one.
    pub(super) fn delete(&self, key: &K) -> io::Result<bool> {
        let request = self.request(address(key), 0, 0);
        // SAFETY: the key is of the map's size and lives through the call.
        Ok(entry(unsafe { bpf(MAP_DELETE, &request) })?.is_some())
    }

    /// At most `limit` keys. Some may be left out or come twice if the map changes meanwhile.
    pub(super) fn keys(&self, limit: usize) -> io::Result<Vec<K>> {
        let mut keys: Vec<K> = Vec::new();
        while keys.len() < limit {
            // SAFETY: `Pod` types have no invalid bit patterns.
            let mut next: K = unsafe { std::mem::zeroed() };
            let to = std::ptr::from_mut(&mut next) as u64;
            let request = self.request(keys.last().map_or(0, address), to, 0);
            // SAFETY: both keys are of the map's size and live through the call.
            match entry(unsafe { bpf(MAP_NEXT_KEY, &request) })? {
                Some(_) => keys.push(next),
                None => break,
            }
        }
        Ok(keys)
    }
}

/// A queue.
#[derive(Debug)]
pub(super) struct Queue<V> {
    map: Map<u32, V>,
    balance: AtomicI64,
}

impl<V: Pod> Queue<V> {
    /// As [`Map::new`].
    pub(super) fn new(fd: OwnedFd) -> Self {
        Self {
            map: Map::new(fd),
            balance: AtomicI64::new(0),
        }
    }

    /// What this side pushed, less what it popped.
    pub(super) fn balance(&self) -> i64 {
        self.balance.load(Ordering::Relaxed)
    }

    /// Appends.
    pub(super) fn push(&self, value: &V) -> io::Result<()> {
        let request = self.map.request(0, address(value), 0);
        // SAFETY: queues have no key; the value is of the map's size and lives through the call.
        unsafe { bpf(MAP_UPDATE, &request) }?;
        self.balance.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Takes the oldest.
    pub(super) fn pop(&self) -> io::Result<Option<V>> {
        // SAFETY: `Pod` types have no invalid bit patterns.
        let mut value: V = unsafe { std::mem::zeroed() };
        let request = self
            .map
            .request(0, std::ptr::from_mut(&mut value) as u64, 0);
        // SAFETY: queues have no key; the value is of the map's size and lives through the call.
        let found = entry(unsafe { bpf(MAP_LOOKUP_AND_DELETE, &request) })?;
        Ok(found.map(|_| {
            self.balance.fetch_sub(1, Ordering::Relaxed);
            value
        }))
    }
}

/// Waits until every kernel program that runs now is done.
///
/// Entering a map into a map of maps does that before it returns: the kernel promises that
/// afterwards no program uses the old inner map.
#[derive(Debug)]
pub(super) struct Grace {
    outer: OwnedFd,
    inner: OwnedFd,
}

impl Grace {
    /// Makes the two maps.
    pub(super) fn new() -> io::Result<Self> {
        let array = |kind, inner| MapRequest {
            kind,
            key_bytes: 4,
            value_bytes: 4,
            entries: 1,
            flags: 0,
            inner,
        };
        // SAFETY: a complete description.
        let inner = unsafe { bpf_fd(MAP_CREATE, &array(MAP_TYPE_ARRAY, 0)) }?;
        let outer = array(MAP_TYPE_ARRAY_OF_MAPS, number(inner.as_fd()));
        // SAFETY: a complete description.
        let outer = unsafe { bpf_fd(MAP_CREATE, &outer) }?;
        Ok(Self { outer, inner })
    }

    /// Blocks, typically for some 10 to 30 ms.
    pub(super) fn wait(&self) -> io::Result<()> {
        let (key, value) = (0_u32, number(self.inner.as_fd()));
        let request = ElementRequest {
            map: number(self.outer.as_fd()),
            pad: 0,
            key: address(&key),
            value: address(&value),
            flags: ANY,
        };
        // SAFETY: key and value are of the map's sizes and live through the call.
        unsafe { bpf(MAP_UPDATE, &request) }.map(drop)
    }
}

/// Attaches an iterator program to a cgroup and all below it, parents first. (aya's own `attach`
/// gives no order, which the kernel refuses.)
pub(super) fn link_cgroup_iterator(
    program: BorrowedFd<'_>,
    root: BorrowedFd<'_>,
) -> io::Result<OwnedFd> {
    let iteration = CgroupIteration {
        order: DESCENDANTS_PRE,
        cgroup: number(root),
        cgroup_id: 0,
    };
    let request = LinkRequest {
        program: number(program),
        target: 0,
        attach_type: ATTACH_TRACE_ITER,
        flags: 0,
        info: address(&iteration),
        info_bytes: size_of::<CgroupIteration>() as u32,
        pad: 0,
    };
    // SAFETY: a complete description that lives through the call.
    unsafe { bpf_fd(LINK_CREATE, &request) }
}

/// One iteration, run by reading the descriptor to its end.
pub(super) fn iterate(link: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let request = IterRequest {
        link: number(link),
        flags: 0,
    };
    // SAFETY: a complete description.
    unsafe { bpf_fd(ITER_CREATE, &request) }
}

/// Pages seen as words that somebody else may write at any time.
#[derive(Debug)]
pub(super) struct Pages {
    start: NonNull<AtomicU64>,
    words: usize,
}

// SAFETY: shared memory of atomics, unmapped only on drop.
unsafe impl Send for Pages {}
// SAFETY: as above.
unsafe impl Sync for Pages {}

impl Pages {
    /// Maps an array of the kernel programs, to read.
    pub(super) fn of_map(map: BorrowedFd<'_>, bytes: usize) -> io::Result<Self> {
        Self::map(bytes, libc::PROT_READ, libc::MAP_SHARED, map.as_raw_fd())
    }

    /// Private pages full of zeros, backed by memory only once written.
    pub(super) fn zeroed(bytes: usize) -> io::Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        Self::map(bytes, libc::PROT_READ | libc::PROT_WRITE, flags, -1)
    }

    fn map(bytes: usize, protection: i32, flags: i32, fd: i32) -> io::Result<Self> {
        // SAFETY: a new mapping where the kernel likes it touches nothing of ours.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, fd, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(io::Error::last_os_error)?;
        Ok(Self {
            start,
            words: bytes / size_of::<u64>(),
        })
    }

    /// The words. Those of a kernel array may only be loaded.
    pub(super) fn words(&self) -> &[AtomicU64] {
        // SAFETY: mapped, aligned, and alive as long as `self`; kernel programs write these words
        // meanwhile, which is what atomics are for.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.words) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        let bytes = self.words * size_of::<u64>();
        // SAFETY: our own mapping, and nobody can hold a borrow of it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), bytes) };
    }
}

/// Registers a descriptor with the current tokio runtime, to wait until it can be read.
///
/// # Panics
/// Outside a runtime with I/O.
pub(crate) fn register(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` stays open and the same until it is dropped.
    let registered = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
    registered.map_err(|error| error.into_parts().1)
}

/// Gives memory that the loader freed back to the system.
pub(super) fn trim_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes and touches nothing of ours.
    unsafe {
        libc::malloc_trim(0);
    }
}
