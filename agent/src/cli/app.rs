//! `guidon app put|ls|show|rm`.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::args::{AppArgs, AppCommand, PutArgs};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::client::Client;
use super::output::{Output, plain};
use super::table::{self, Column, NOTHING};
use super::{CommandError, Verdict};
use crate::config::Guid;

/// What a list shows of an app; a newer agent may say more.
#[derive(Debug, Deserialize)]
struct Listed {
    guid: String,
    state: String,
    app: Option<Asked>,
    containers: Vec<Container>,
    last_error: Option<String>,
    progress: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Asked {
    image: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Container {
    image: String,
}

pub(super) async fn run(args: &AppArgs, output: &mut Output) -> Result<Verdict, CommandError> {
    let client = Client::new(&args.api)?;
    let as_json = args.api.json;
    match &args.command {
        AppCommand::Put(put) => {
            let path = path(&put.guid)?;
            let answer: Value = client.put(&path, &request(put)?).await?;
            if as_json {
                output.json(&answer)?;
            } else {
                let outcome = answer["outcome"].as_str().unwrap_or("done");
                output.line(&plain(&format!("{}: {outcome}", put.guid)))?;
            }
        }
        AppCommand::Ls => {
            let list: Value = client.get("/api/v1/apps").await?;
            if as_json {
                output.json(&list)?;
            } else {
                let apps = Vec::<Listed>::deserialize(&list["apps"])?;
                output.text(&render(&apps))?;
            }
        }
        // A person who asks for one app wants all of it: JSON reads well enough.
        AppCommand::Show { guid } => {
            let app: Value = client.get(&path(guid)?).await?;
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

/// The file, if one is named, with the options over it. What is right in it the agent says.
fn request(put: &PutArgs) -> Result<Map<String, Value>, CommandError> {
    let mut app: Map<String, Value> = match &put.file {
        None => Map::new(),
        Some(path) => serde_json::from_slice(&read(path)?)
            .map_err(|error| format!("{}: {error}", path.display()))?,
    };
    let mut set = |key: &str, value: Value| app.insert(key.to_owned(), value);
    if let Some(image) = &put.image {
        set("image", json!(image));
    }
    if let Some(restart) = &put.restart {
        set("restart", json!(restart));
    }
    for (key, values) in [
        ("command", &put.command),
        ("args", &put.args),
        ("ports", &put.port),
        ("mounts", &put.mount),
    ] {
        if !values.is_empty() {
            set(key, json!(values));
        }
    }
    let env = put
        .env
        .iter()
        .map(|(name, value)| (name.as_str(), json!(value)));
    merge(&mut app, "env", env)?;
    let cpus = put.cpus.map(|cpus| ("cpus", json!(cpus)));
    let memory = put.memory.as_ref().map(|memory| ("memory", json!(memory)));
    merge(&mut app, "limits", cpus.into_iter().chain(memory))?;
    Ok(app)
}

/// Sets fields of the object behind `key`.
fn merge<'a>(
    app: &mut Map<String, Value>,
    key: &str,
    fields: impl Iterator<Item = (&'a str, Value)>,
) -> Result<(), CommandError> {
    let mut fields = fields.peekable();
    if fields.peek().is_none() {
        return Ok(());
    }
    let object = app.entry(key).or_insert_with(|| json!({}));
    let Value::Object(object) = object else {
        return Err(format!("{key}: the file has no object here that options could change").into());
    };
    object.extend(fields.map(|(name, value)| (name.to_owned(), value)));
    Ok(())
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

fn render(apps: &[Listed]) -> String {
    use Column::{Left, Right};
    let columns = [
        Left("GUID"),
        Left("STATE"),
        Left("IMAGE"),
        Right("CONTAINERS"),
        Left("NOTE"),
    ];
    let rows: Vec<_> = apps
        .iter()
        .map(|app| {
            let image = app.containers.first().map(|container| &container.image);
            let asked = app.app.as_ref().and_then(|app| app.image.as_ref());
            let note = app.progress.as_ref().or(app.last_error.as_ref());
            vec![
                app.guid.clone(),
                app.state.clone(),
                image.or(asked).map_or(NOTHING.into(), String::clone),
                app.containers.len().to_string(),
                note.map_or(NOTHING.into(), String::clone),
            ]
        })
        .collect();
    table::render(&columns, &rows)
}
