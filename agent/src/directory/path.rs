//! Which container a cgroup path belongs to, by the path alone.
//!
//! Runtimes name a container's cgroup after its id: the bare id (Docker, containerd and the kubelet
//! with the cgroupfs driver), or a prefix of their own before it and `.scope` behind it (systemd
//! driver; CRI-O and podman keep the prefix with cgroupfs too). Monitors (`conmon`) and mount units
//! that carry an id are not containers. A container inside a container counts to the outer one.

/// Hex digits in a container id of every runtime that is known here.
const ID_LEN: usize = 64;

/// What runtimes put before the id, and a `-`.
const PREFIXES: [&str; 6] = [
    "docker",
    "cri-containerd",
    "crio",
    "libpod",
    "libpod-payload",
    "nerdctl",
];

/// The container id that a cgroup path belongs to, and the path of the container's own cgroup
/// (a prefix of `path`): cgroupfs and systemd drivers of Docker, containerd, CRI-O and podman.
#[must_use]
pub fn container_of_path(path: &str) -> Option<(&str, &str)> {
    let mut end = 0;
    for component in path.split('/') {
        end += component.len();
        if let Some(id) = id_of_component(component) {
            return Some((id, &path[..end]));
        }
        end += 1;
    }
    None
}

fn id_of_component(component: &str) -> Option<&str> {
    if is_id(component) {
        return Some(component);
    }
    let (prefix, id) = component
        .strip_suffix(".scope")
        .unwrap_or(component)
        .rsplit_once('-')?;
    (is_id(id) && PREFIXES.contains(&prefix)).then_some(id)
}

fn is_id(text: &str) -> bool {
    let hex = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    text.len() == ID_LEN && text.as_bytes().iter().all(hex)
}
