use guidon::kernel::{Kernel, Options};
#[test]
fn smoke() {
    let t = std::time::Instant::now();
    let (kernel, mut events) = Kernel::load(&Options { slots: Some(256), run_queue: true, statistics: true }).unwrap();
    eprintln!("load {:?}", t.elapsed());
    std::thread::sleep(std::time::Duration::from_secs(1));
    for p in kernel.status().programs { eprintln!("{p:?}"); }
    eprintln!("{:?}", kernel.cgroups().len());
    let mut e = Vec::new();
    events.drain(&mut e);
    eprintln!("{e:?}");
    let mut c = Default::default();
    kernel.read(guidon::kernel::Slot(0), &mut c);
    eprintln!("{c:?}");
    let mut m = Vec::new();
    kernel.memory(&mut m);
    eprintln!("{m:?} {:?}", kernel.status().slots_free);
}
