//! A stand-in of the Engine API for the agent to learn whose the logs are: a list of containers and
//! their inspections, no events. A real Docker would have to run a thousand containers, and would
//! take the CPU time that is to be measured.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::UnixListener;

use super::containers::Containers;
use crate::forward::GUID;

/// Answers at `socket` until the runtime ends. The containers are those of the agent that keeps its
/// state in `data_dir`.
///
/// # Errors
/// The socket cannot be made.
pub async fn serve(socket: &Path, containers: Arc<Containers>, data_dir: &Path) -> Result<()> {
    let listener = UnixListener::bind(socket).with_context(|| socket.display().to_string())?;
    let owner: Arc<str> = data_dir.display().to_string().into();
    loop {
        let (stream, _) = listener.accept().await?;
        let (containers, owner) = (Arc::clone(&containers), Arc::clone(&owner));
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let (containers, owner) = (Arc::clone(&containers), Arc::clone(&owner));
                async move {
                    let path = request.uri().path();
                    if path.ends_with("/events") {
                        // Nothing ever happens.
                        std::future::pending::<()>().await;
                    }
                    Ok::<_, Infallible>(answer(path, &containers, &owner))
                }
            });
            // A client that goes away in the middle of a request is its own business.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

fn answer(path: &str, containers: &Containers, owner: &str) -> Response<Full<Bytes>> {
    let labels = json!({"io.guidon.guid": GUID, "io.guidon.owner": owner});
    let of_container = |id: &String| path.ends_with(&format!("/containers/{id}/json"));
    let found = if path.ends_with("/version") {
        Some(json!({"ApiVersion": "1.41", "MinAPIVersion": "1.12", "Version": "20.10.24"}))
    } else if path.ends_with("/_ping") {
        Some(json!("OK"))
    } else if path.ends_with("/containers/json") {
        let listed = |id: &String| {
            json!({"Id": id, "Names": [format!("/bench-{id}")], "Image": "bench",
                "Labels": labels, "State": "running", "Created": 1_700_000_000})
        };
        Some(Value::Array(containers.ids().iter().map(listed).collect()))
    } else {
        containers
            .ids()
            .iter()
            .find(|id| of_container(id))
            .map(|id| {
                json!({"Id": id, "Name": format!("/bench-{id}"), "LogPath": containers.log(id),
                "State": {"Pid": std::process::id(), "StartedAt": "2026-01-01T00:00:00Z"},
                "HostConfig": {"LogConfig": {"Type": "json-file", "Config": {}}},
                "Config": {"Image": "bench", "Labels": labels}})
            })
    };
    let (status, body) = match found {
        Some(body) => (StatusCode::OK, body),
        None => (StatusCode::NOT_FOUND, json!({"message": "no such thing"})),
    };
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response
}
