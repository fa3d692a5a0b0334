//! A process of the kernel tests that does something on demand: `kernel-worker WORK [PROCS…]`
//! joins the cgroups whose `cgroup.procs` files it is given, says so and how many nanoseconds of CPU
//! time it took, and does the work.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a worker that meets the unexpected has failed its test"
)]

use std::{
    env, fs,
    hint::black_box,
    io::{Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    os::unix::fs::OpenOptionsExt,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use guidon::kernel::{Kernel, KernelError, Options};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

fn main() {
    let mut arguments = env::args().skip(1);
    let work = arguments.next().unwrap();
    let before = used();
    for procs in arguments {
        fs::write(&procs, "0").unwrap_or_else(|error| panic!("join {procs}: {error}"));
    }
    say(&format!("joined {}", (used() - before).as_nanos()));
    let words: Vec<&str> = work.split(' ').collect();
    let number = |index: usize| words[index].parse::<u64>().unwrap();
    let span = |index: usize| Duration::from_millis(number(index));
    match words[0] {
        "spin" => spin(span(1)),
        "nap" => nap(span(1)),
        "pipe" => pipe(span(1)),
        "wait" => wait(),
        "udp" => udp(number(1), number(2)),
        "tcp" => tcp(number(1)),
        "refused" => refused(),
        "tell-udp" => tell_udp(words[1], words[2]),
        "tell-tcp" => tell_tcp(words[1], words[2]),
        "hold" => hold(number(1)),
        "write" => write(words[1], number(2)),
        "run" => run(number(1)),
        "rested" => rested(span(1)),
        "load" => load_with(words[1]),
        other => panic!("no such work: {other}"),
    }
}

/// CPU time of this process.
fn used() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn say(line: &str) {
    println!("{line}");
}

/// Until the other side says something or closes.
fn wait() {
    let mut byte = [0];
    let _ = std::io::stdin().read(&mut byte);
}

fn spin(span: Duration) {
    let end = Instant::now() + span;
    let mut value = 0_u64;
    while Instant::now() < end {
        for step in 0..1000_u64 {
            value = black_box(value.wrapping_mul(31).wrapping_add(step));
        }
    }
}

/// Some 25 us of work per millisecond: accounting by samples or switches is off here by a third.
fn nap(span: Duration) {
    let end = Instant::now() + span;
    while Instant::now() < end {
        spin(Duration::from_micros(25));
        thread::sleep(Duration::from_millis(1));
    }
}

/// Two threads that hand a byte to and fro.
fn pipe(span: Duration) {
    let (mut read_ping, mut write_ping) = std::io::pipe().unwrap();
    let (mut read_pong, mut write_pong) = std::io::pipe().unwrap();
    let other = thread::spawn(move || {
        let mut byte = [0];
        while read_ping.read(&mut byte).unwrap() == 1 && write_pong.write(&byte).is_ok() {}
    });
    let end = Instant::now() + span;
    let mut byte = [1];
    while Instant::now() < end {
        write_ping.write_all(&byte).unwrap();
        read_pong.read_exact(&mut byte).unwrap();
    }
    drop(write_ping);
    other.join().unwrap();
}

/// Sends datagrams to itself.
fn udp(count: u64, bytes: u64) {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    sender.connect(receiver.local_addr().unwrap()).unwrap();
    let mut buffer = vec![7; bytes as usize];
    for _ in 0..count {
        sender.send(&buffer).unwrap();
        receiver.recv(&mut buffer).unwrap();
    }
}

/// Sends a stream to itself.
fn tcp(bytes: u64) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let reader = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        std::io::copy(&mut stream, &mut std::io::sink()).unwrap()
    });
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(&vec![7; bytes as usize]).unwrap();
    drop(stream);
    assert_eq!(reader.join().unwrap(), bytes);
}

/// Connects where nobody listens.
fn refused() {
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    TcpStream::connect(address).unwrap_err();
}

fn tell_udp(from: &str, to: &str) {
    let socket = UdpSocket::bind(from).unwrap();
    socket.send_to(b"hello", to).unwrap();
    wait();
}

/// From an address of its own: `connect` alone would take the one the route prefers.
fn tell_tcp(from: &str, to: &str) {
    let from: std::net::SocketAddr = from.parse().unwrap();
    let to: std::net::SocketAddr = to.parse().unwrap();
    let kind = rustix::net::SocketType::STREAM;
    let family = if to.is_ipv4() {
        rustix::net::AddressFamily::INET
    } else {
        rustix::net::AddressFamily::INET6
    };
    let socket = rustix::net::socket(family, kind, None).unwrap();
    rustix::net::bind(&socket, &from).unwrap();
    rustix::net::connect(&socket, &to).unwrap();
    wait();
}

/// Takes memory and keeps it.
fn hold(mebibytes: u64) {
    let mut memory = vec![0_u8; (mebibytes << 20) as usize];
    for page in memory.chunks_mut(4096) {
        page[0] = 1;
    }
    black_box(&memory);
    say("held");
    wait();
}

/// Writes past the page cache.
fn write(path: &str, mebibytes: u64) {
    const BLOCK: usize = 1 << 20;
    let mut options = fs::OpenOptions::new();
    options
        .create(true)
        .write(true)
        .custom_flags(libc::O_DIRECT);
    let mut file = options.open(path).unwrap();
    // O_DIRECT wants aligned memory.
    let memory = vec![7_u8; BLOCK + 4096];
    let start = memory.as_ptr().align_offset(4096);
    for _ in 0..mebibytes {
        file.write_all(&memory[start..start + BLOCK]).unwrap();
    }
    file.sync_all().unwrap();
}

/// Runs programs.
fn run(count: u64) {
    for _ in 0..count {
        assert!(Command::new("true").status().unwrap().success());
    }
}

/// Works and says how long the kernel says it waited for a CPU, and how often it switched.
fn rested(span: Duration) {
    let before = rest();
    nap(span);
    let after = rest();
    let text: Vec<String> = before
        .iter()
        .zip(after)
        .map(|(a, b)| (b - a).to_string())
        .collect();
    say(&text.join(" "));
    wait();
}

/// Run-queue delay in ns, switches voluntary and not, of this thread.
fn rest() -> [u64; 3] {
    let schedstat = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    let field = |name: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(name));
        value.unwrap().trim().parse().unwrap()
    };
    [
        schedstat.split(' ').nth(1).unwrap().parse().unwrap(),
        field("voluntary_ctxt_switches:"),
        field("nonvoluntary_ctxt_switches:"),
    ]
}

/// Loads the kernel room with these capabilities only.
fn load_with(capabilities: &str) {
    let mut set = CapabilitySet::empty();
    for name in capabilities.split(',') {
        set |= match name {
            "bpf" => CapabilitySet::BPF,
            "perfmon" => CapabilitySet::PERFMON,
            "net_admin" => CapabilitySet::NET_ADMIN,
            _ => CapabilitySet::empty(),
        };
    }
    let sets = CapabilitySets {
        effective: set,
        permitted: set,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, sets).unwrap();
    let options = Options {
        slots: Some(1024),
        run_queue: true,
        statistics: false,
    };
    match Kernel::load(&options) {
        Ok((kernel, _)) => {
            let status = kernel.status();
            let off = status
                .programs
                .iter()
                .filter(|program| program.off_because.is_some());
            let names: Vec<&str> = off.map(|program| program.name).collect();
            say(&format!("off: {}", names.join(" ")));
        }
        Err(KernelError::NotPermitted { missing }) => {
            say(&format!("missing: {}", missing.join(" ")))
        }
        Err(error) => say(&format!("{error}: {error:?}")),
    }
}
