use guidon::kernel::{Kernel, Options};
#[test]
fn smoke() {
    let (kernel, mut _events) = Kernel::load(&Options { slots: Some(256), run_queue: true, statistics: true }).unwrap();
    let mut m = Vec::new();
    kernel.memory(&mut m);
    eprintln!("{m:#?} {:?}", kernel.status());
    kernel.memory(&mut m);
    eprintln!("{m:#?} {:?}", kernel.status());
}
