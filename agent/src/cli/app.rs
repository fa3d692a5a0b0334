//! `guidon app put|ls|show|rm`.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::args::{AppArgs, AppCommand, PutArgs};
use super::client::Client;
use super::output::Output;
use super::table::{self, Column, NOTHING};
use super::{CommandError, Verdict};
use crate::api::model::{AppList, AppPut};
use crate::config::Guid;
use crate::drive::{App, AppState, AppStatus, Outcome, Size};

pub(super) async fn run(args: &AppArgs, output: &mut Output) -> Result<Verdict, CommandError> {
    let client = Client::new(&args.api)?;
    let as_json = args.api.json;
    match &args.command {
        AppCommand::Put(put) => {
            let path = path(&put.guid)?;
            let answer: AppPut = client.put(&path, &request(put)?).await?;
            if as_json {
                output.json(&answer)?;
            } else {
                let outcome = match answer.outcome {
                    Outcome::Created => "created",
                    Outcome::Changed => "changed",
                    Outcome::Unchanged => "unchanged",
                };
                output.line(&format!("{}: {outcome}", put.guid))?;
            }
        }
        AppCommand::Ls => {
            let list: AppList = client.get("/api/v1/apps").await?;
            if as_json {
                output.json(&list)?;
            } else {
                output.text(&render(&list.apps))?;
            }
        }
        // A person who asks for one app wants all of it: JSON reads well enough.
        AppCommand::Show { guid } => {
            let app: AppStatus = client.get(&path(guid)?).await?;
            output.json(&app)?;
        }
        AppCommand::Rm { guid } => {
            client.delete(&path(guid)?).await?;
            if !as_json {
                output.line(&format!("{guid}: removed"))?;
            }
        }
    }
    Ok(Verdict::Good)
}

fn path(guid: &str) -> Result<String, CommandError> {
    let guid: Guid = guid.parse()?;
    Ok(format!("/api/v1/apps/{guid}"))
}

/// The file, if one is named, with the options over it.
fn request(put: &PutArgs) -> Result<App, CommandError> {
    let mut app = match &put.file {
        None => App::default(),
        Some(path) => serde_json::from_slice(&read(path)?)
            .map_err(|error| format!("{}: {error}", path.display()))?,
    };
    if let Some(image) = &put.image {
        app.image.clone_from(image);
    }
    if !put.command.is_empty() {
        app.command.clone_from(&put.command);
    }
    if !put.args.is_empty() {
        app.args.clone_from(&put.args);
    }
    app.env.extend(put.env.iter().cloned());
    app.restart = put.restart.unwrap_or(app.restart);
    app.limits.cpus = put.cpus.or(app.limits.cpus);
    app.limits.memory = put.memory.map(Size).or(app.limits.memory);
    Ok(app)
}

fn read(path: &Path) -> Result<Vec<u8>, CommandError> {
    let mut content = Vec::new();
    if path == Path::new("-") {
        io::stdin().read_to_end(&mut content)?;
    } else {
        File::open(path)
            .and_then(|mut file| file.read_to_end(&mut content))
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    }
    Ok(content)
}

fn render(apps: &[AppStatus]) -> String {
    use Column::{Left, Right};
    let columns = [
        Left("GUID"),
        Left("STATE"),
        Left("IMAGE"),
        Right("CONTAINERS"),
        Left("LAST ERROR"),
    ];
    let rows: Vec<_> = apps
        .iter()
        .map(|app| {
            let state = match app.state {
                AppState::Creating => "creating",
                AppState::Running => "running",
                AppState::Paused => "paused",
                AppState::Restarting => "restarting",
                AppState::Exited => "exited",
                AppState::Missing => "missing",
                AppState::Failed => "failed",
                AppState::Removing => "removing",
                AppState::Unknown => "unknown",
            };
            let image = app.containers.first().map(|container| &container.image);
            let wanted = app.app.as_ref().map(|app| &app.image);
            vec![
                app.guid.to_string(),
                state.into(),
                image.or(wanted).map_or(NOTHING.into(), String::clone),
                app.containers.len().to_string(),
                app.last_error.clone().unwrap_or_else(|| NOTHING.into()),
            ]
        })
        .collect();
    table::render(&columns, &rows)
}
