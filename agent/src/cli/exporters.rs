//! `guidon exporters put|ls|show|rm`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::args::{ExportersArgs, ExportersCommand};
use super::client::Client;
use super::output::{Output, plain};
use super::table::{self, Column, NOTHING};
use super::{CommandError, Verdict};
use crate::stack::exporters::is_name;

pub(super) async fn run(
    args: &ExportersArgs,
    output: &mut Output,
) -> Result<Verdict, CommandError> {
    let client = Client::new(&args.api)?;
    let as_json = args.api.json;
    match &args.command {
        ExportersCommand::Put {
            name,
            address,
            path: metrics,
            https,
            label,
        } => {
            let labels: BTreeMap<_, _> = label.iter().cloned().collect();
            let mut exporter = json!({"address": address, "labels": labels});
            if let Some(metrics) = metrics {
                exporter["path"] = json!(metrics);
            }
            if *https {
                exporter["scheme"] = json!("https");
            }
            let answer: Value = client.put(&path(name)?, &exporter).await?;
            if as_json {
                output.json(&answer)?;
            } else {
                let outcome = answer["outcome"].as_str().unwrap_or("done");
                output.line(&plain(&format!("{name}: {outcome}")))?;
            }
        }
        ExportersCommand::Ls => {
            let list: Value = client.get("/api/v1/exporters").await?;
            if as_json {
                output.json(&list)?;
            } else {
                output.text(&render(&list))?;
            }
        }
        ExportersCommand::Show { name } => {
            let exporter: Value = client.get(&path(name)?).await?;
            output.json(&exporter)?;
        }
        ExportersCommand::Rm { name } => {
            client.delete(&path(name)?).await?;
            if !as_json {
                output.line(&format!("{name}: removed"))?;
            }
        }
    }
    Ok(Verdict::Good)
}

fn path(name: &str) -> Result<String, CommandError> {
    match is_name(name) {
        true => Ok(format!("/api/v1/exporters/{name}")),
        false => Err(format!("{name:?} is no exporter's name").into()),
    }
}

fn render(list: &Value) -> String {
    use Column::Left;
    let columns = ["NAME", "ADDRESS", "PATH", "GUID", "STATE", "ERROR"].map(Left);
    let text = |value: &Value| value.as_str().unwrap_or(NOTHING).to_owned();
    let exporters = list["exporters"].as_array().into_iter().flatten();
    let rows: Vec<_> = exporters
        .map(|one| {
            let (exporter, health) = (&one["exporter"], &one["health"]);
            vec![
                text(&one["name"]),
                text(&exporter["address"]),
                text(&exporter["path"]),
                text(&exporter["labels"]["guid"]),
                text(&health["state"]),
                text(&health["error"]),
            ]
        })
        .collect();
    table::render(&columns, &rows)
}
