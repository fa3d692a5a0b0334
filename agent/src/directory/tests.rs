#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::time::Duration;

use guidon_common::CgroupId;
use proptest::prelude::*;

use super::*;

fn directory(retention: Duration) -> Directory {
    Directory::with_retention("host-1".parse().unwrap(), retention)
}

/// A container id that differs by its first digits.
fn id(number: u32) -> String {
    format!("{number:08x}{}", "a".repeat(56))
}

fn container(number: u32, guid: Option<&str>) -> Container {
    Container {
        id: id(number),
        name: format!("name-{number}"),
        image: "image".to_owned(),
        guid: guid.map(|guid| guid.parse().unwrap()),
        ..Container::default()
    }
}

#[test]
fn a_record_is_found_by_id_guid_cgroup_and_address() {
    let directory = directory(RETENTION);
    let address = "172.17.0.2".parse().unwrap();
    let cgroup = directory.cgroup_born(CgroupId(7), &format!("/docker/{}", id(1)));
    assert_eq!(cgroup, Some(id(1)), "known by path before the container is");
    assert!(directory.load().by_cgroup(CgroupId(7)).is_none());
    directory.put(Container {
        addresses: vec![address],
        pid: 42,
        ..container(1, Some("app-1"))
    });
    directory.cgroup_born(CgroupId(8), &format!("/docker/{}/init/deep", id(1)));

    let view = directory.load();
    let expected = view.container(&id(1)).unwrap();
    assert_eq!(view.by_cgroup(CgroupId(7)), Some(expected));
    assert_eq!(view.by_cgroup(CgroupId(8)), Some(expected));
    assert_eq!(view.by_address(address), Some(expected));
    assert_eq!(view.by_guid("app-1").collect::<Vec<_>>(), [expected]);
    assert!(view.knows("app-1"));
    assert!(!view.knows("app-2") && !view.knows("Not a guid"));
    let mut cgroups: Vec<_> = view.cgroups().map(|(id, ..)| id).collect();
    cgroups.sort_unstable();
    assert_eq!(cgroups, [CgroupId(7), CgroupId(8)]);
}

#[test]
fn what_is_gone_stays_resolvable_for_the_retention_window_only() {
    let directory = directory(Duration::from_millis(50));
    directory.put(container(1, Some("app-1")));
    directory.cgroup_born(CgroupId(7), &format!("/docker/{}", id(1)));
    directory.cgroup_gone(CgroupId(7));
    directory.remove(&id(1));
    let view = directory.load();
    assert!(view.by_cgroup(CgroupId(7)).is_some() && view.is_gone(&id(1)));
    assert!(view.knows("app-1"));
    assert_eq!(view.live_by_guid("app-1").count(), 0);

    std::thread::sleep(Duration::from_millis(60));
    directory.sweep();
    let view = directory.load();
    assert!(view.by_cgroup(CgroupId(7)).is_none() && view.container(&id(1)).is_none());
    assert!(!view.knows("app-1"));
    assert_eq!(view.containers().count(), 0);
}

#[test]
fn what_came_back_is_not_forgotten_for_an_earlier_absence() {
    let directory = directory(Duration::from_millis(50));
    directory.put(container(1, None));
    directory.cgroup_born(CgroupId(7), &format!("/docker/{}", id(1)));
    directory.remove(&id(1));
    directory.cgroup_gone(CgroupId(7));
    std::thread::sleep(Duration::from_millis(30));
    directory.put(container(1, None));
    directory.remove(&id(1));
    directory.cgroup_born(CgroupId(7), &format!("/docker/{}", id(1)));
    std::thread::sleep(Duration::from_millis(30));
    directory.sweep();
    assert!(directory.load().by_cgroup(CgroupId(7)).is_some());
}

#[test]
fn gone_containers_are_bounded_in_number() {
    let directory = directory(RETENTION);
    let many = u32::try_from(MAX_GONE).unwrap() + 10;
    for number in 0..many {
        directory.put(container(number, None));
        directory.remove(&id(number));
    }
    let view = directory.load();
    assert_eq!(view.containers().count(), MAX_GONE);
    assert!(view.container(&id(9)).is_none() && view.container(&id(10)).is_some());
}

#[test]
fn a_record_without_guid_does_not_take_the_announced_one_away() {
    let directory = directory(RETENTION);
    directory.put(container(1, Some("app-1")));
    directory.put(Container {
        pid: 42,
        ..container(1, None)
    });
    let view = directory.load();
    let seen = view.container(&id(1)).unwrap();
    assert_eq!(
        (seen.guid.as_ref().unwrap().as_str(), seen.pid),
        ("app-1", 42)
    );
    assert_eq!(view.by_guid("app-1").count(), 1);
}

#[test]
fn an_address_belongs_to_its_newest_owner() {
    let directory = directory(RETENTION);
    let address = "172.17.0.2".parse().unwrap();
    let at = |number| Container {
        addresses: vec![address],
        ..container(number, None)
    };
    directory.put(at(1));
    directory.put(at(2));
    directory.update(&id(1), |container| container.addresses.clear());
    assert_eq!(directory.load().by_address(address).unwrap().id, id(2));
    directory.remove(&id(2));
    assert!(directory.load().by_address(address).is_none());
}

#[test]
fn an_update_does_not_bring_a_gone_container_back() {
    let directory = directory(RETENTION);
    directory.put(container(1, None));
    directory.remove(&id(1));
    directory.update(&id(1), |container| container.pid = 1);
    assert!(directory.load().is_gone(&id(1)));
}

#[test]
fn the_truth_after_lost_events_replaces_what_was_believed() {
    let directory = directory(RETENTION);
    let path = |number| format!("/docker/{}", id(number));
    directory.cgroup_born(CgroupId(1), &path(1));
    directory.cgroup_born(CgroupId(2), &path(2));
    let now = [(CgroupId(2), path(2)), (CgroupId(3), path(3))];
    directory.cgroups_are(now.iter().map(|(id, path)| (*id, path.as_str())));
    let view = directory.load();
    let mut live: Vec<_> = view
        .cgroups()
        .map(|(id, _, of)| (id, of.to_owned()))
        .collect();
    live.sort_unstable();
    assert_eq!(live, [(CgroupId(2), id(2)), (CgroupId(3), id(3))]);
}

#[test]
fn a_change_is_announced_and_a_repetition_is_not() {
    let directory = directory(RETENTION);
    let mut changes = directory.changes();
    directory.put(container(1, None));
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();
    directory.put(container(1, None));
    assert!(!changes.has_changed().unwrap());
}

#[test]
fn readers_see_every_record_whole_while_writers_write() {
    let directory = Arc::new(directory(RETENTION));
    let writers: Vec<_> = (0..2)
        .map(|writer| {
            let directory = Arc::clone(&directory);
            std::thread::spawn(move || {
                for number in 0..300 {
                    let number = writer * 1_000 + number;
                    directory.put(container(number, Some(&format!("app-{number}"))));
                    assert!(directory.load().container(&id(number)).is_some());
                }
            })
        })
        .collect();
    while !writers.iter().all(std::thread::JoinHandle::is_finished) {
        let view = directory.load();
        for container in view.containers() {
            let guid = container.guid.as_ref().unwrap();
            assert_eq!(view.by_guid(guid.as_str()).next(), Some(container));
        }
    }
    for writer in writers {
        writer.join().unwrap();
    }
    assert_eq!(directory.load().containers().count(), 600);
}

#[test]
fn container_paths_of_every_runtime_are_recognised() {
    let hex = "0123456789abcdef".repeat(4);
    for (path, own) in [
        ("/docker/ID", "/docker/ID"),
        ("docker/ID", "docker/ID"),
        ("/docker/ID/", "/docker/ID"),
        ("/docker/ID/init", "/docker/ID"),
        ("/docker/ID/system.slice/x.service", "/docker/ID"),
        (
            "/system.slice/docker-ID.scope",
            "/system.slice/docker-ID.scope",
        ),
        (
            "/my.slice/my-apps.slice/docker-ID.scope",
            "/my.slice/my-apps.slice/docker-ID.scope",
        ),
        (
            "/user.slice/user-1000.slice/user@1000.service/user.slice/docker-ID.scope",
            "/user.slice/user-1000.slice/user@1000.service/user.slice/docker-ID.scope",
        ),
        ("/kubepods/podx/ID", "/kubepods/podx/ID"),
        (
            "/kubepods/besteffort/podx/ID/cgroup",
            "/kubepods/besteffort/podx/ID",
        ),
        (
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podx.slice/cri-containerd-ID.scope",
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podx.slice/cri-containerd-ID.scope",
        ),
        (
            "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-podx.slice/crio-ID.scope/container",
            "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-podx.slice/crio-ID.scope",
        ),
        ("/kubepods/podx/crio-ID", "/kubepods/podx/crio-ID"),
        (
            "/machine.slice/libpod-ID.scope/container",
            "/machine.slice/libpod-ID.scope",
        ),
        ("/libpod_parent/libpod-ID", "/libpod_parent/libpod-ID"),
        (
            "/system.slice/a.service/libpod-payload-ID",
            "/system.slice/a.service/libpod-payload-ID",
        ),
        ("/default/nerdctl-ID.scope", "/default/nerdctl-ID.scope"),
        // Docker in Docker: the outer container.
        ("/docker/ID/docker/OTHER", "/docker/ID"),
        ("/docker/ID/kubepods/podx/OTHER", "/docker/ID"),
    ] {
        let other = "f".repeat(64);
        let path = path.replace("ID", &hex).replace("OTHER", &other);
        let own = own.replace("ID", &hex);
        assert_eq!(
            container_of_path(&path),
            Some((hex.as_str(), own.as_str())),
            "{path}"
        );
    }
}

#[test]
fn paths_of_no_container_are_not_recognised() {
    let hex = "0123456789abcdef".repeat(4);
    for path in [
        "",
        "/",
        "/docker",
        "/docker/",
        "/init.scope",
        "/system.slice/docker.service",
        "/kubepods/pod0123456789abcdef0123456789abcdef",
        "/machine.slice/libpod-conmon-ID.scope",
        "/kubepods.slice/crio-conmon-ID.scope",
        "/system.slice/var-lib-docker-overlay2-ID-merged.mount",
        "/system.slice/run-docker-runtime-runc-moby-ID-runc.mount",
        "/system.slice/foo-ID.scope",
        "/system.slice/docker-ID.service",
        "/docker/IDa",
        "/docker/ID.scope.d",
        "/docker/0123",
        "/docker/buildkit/x0w3ymzn6lc4d0fsrw2nqpkfd",
    ] {
        let path = path.replace("ID", &hex);
        assert_eq!(container_of_path(&path), None, "{path}");
    }
    let upper = format!("/docker/{}", hex.to_uppercase());
    assert_eq!(container_of_path(&upper), None);
}

proptest! {
    #[test]
    fn property_test_any_path_is_survived_and_an_answer_is_a_container(
        path in "(/?([a-f0-9]{60,66}|docker-|crio-|libpod-conmon-|\\.scope|[^/]{0,9})){0,6}",
    ) {
        if let Some((id, own)) = container_of_path(&path) {
            prop_assert!(id.len() == 64);
            prop_assert!(id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)));
            prop_assert!(path.starts_with(own));
            let rest = &path[own.len()..];
            prop_assert!(rest.is_empty() || rest.starts_with('/'));
            let last = own.rsplit('/').next().unwrap();
            let bare = last.strip_suffix(".scope").unwrap_or(last);
            prop_assert!(bare.ends_with(id));
            prop_assert!(!last.contains("conmon"));
        }
    }

    #[test]
    fn property_test_arbitrary_text_is_survived(path in ".*") {
        let _ = container_of_path(&path);
    }
}
