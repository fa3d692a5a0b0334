//! Block I/O.

use std::fs;

use super::lab::{Group, alone};

#[test]
fn writes_count_to_the_cgroup_that_made_them() {
    let folder = std::env::current_exe().unwrap().with_file_name("");
    let file = folder.join(format!("guidon-block-{:08x}", rand::random::<u32>()));
    // A bare virtual machine has no disk.
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    if !mounts.lines().any(|line| line.starts_with("/dev/")) {
        guidon_tests::skip(
            "writes_count_to_the_cgroup_that_made_them",
            "no file system on a disk",
        );
        return;
    }
    let mut alone = alone();
    let lab = alone.lab();
    let group = Group::new("block");
    let slot = lab.born(&group).slot;
    let worker = group.start(&format!("write {} 16", file.display()));
    worker.finish();
    let counted = lab.settled(slot);
    fs::remove_file(&file).unwrap();
    assert!(counted.write_bytes >= 16 << 20, "{}", counted.write_bytes);
    // The file system adds a few blocks of its own.
    assert!(counted.write_bytes < 17 << 20, "{}", counted.write_bytes);
    assert!(counted.write_operations >= 16 && counted.write_operations < 4096);
    let each_ns = counted.write_ns / counted.write_operations;
    assert!(
        (1_000..2_000_000_000).contains(&each_ns),
        "{each_ns} ns per write"
    );
}
