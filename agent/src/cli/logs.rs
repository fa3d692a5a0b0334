//! `guidon logs put|ls|show|rm`.

use serde_json::{Value, json};

use super::args::{LogsArgs, LogsCommand};
use super::client::Client;
use super::output::{Output, plain};
use super::table::{self, Column, NOTHING};
use super::{CommandError, Verdict};
use crate::config::Guid;

pub(super) async fn run(args: &LogsArgs, output: &mut Output) -> Result<Verdict, CommandError> {
    let client = Client::new(&args.api)?;
    let as_json = args.api.json;
    match &args.command {
        LogsCommand::Put { guid, files } => {
            let answer: Value = client.put(&path(guid)?, &json!({"files": files})).await?;
            if as_json {
                output.json(&answer)?;
            } else {
                let outcome = answer["outcome"].as_str().unwrap_or("done");
                output.line(&plain(&format!("{guid}: {outcome}")))?;
            }
        }
        LogsCommand::Ls => {
            let list: Value = client.get("/api/v1/logs").await?;
            if as_json {
                output.json(&list)?;
            } else {
                output.text(&render(&list))?;
            }
        }
        LogsCommand::Show { guid } => {
            let target: Value = client.get(&path(guid)?).await?;
            output.json(&target)?;
        }
        LogsCommand::Rm { guid } => {
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
    Ok(format!("/api/v1/logs/{guid}"))
}

/// A row for each file that is followed, and for each that cannot be.
fn render(list: &Value) -> String {
    use Column::{Left, Right};
    let columns = [Left("GUID"), Left("FILE"), Right("READ"), Right("WAITING")];
    let text = |value: &Value| value.as_str().unwrap_or(NOTHING).to_owned();
    let size = |value: &Value| value.as_f64().map_or(NOTHING.to_owned(), table::bytes);
    let mut rows = Vec::new();
    for target in list["targets"].as_array().into_iter().flatten() {
        let guid = text(&target["guid"]);
        for file in target["following"].as_array().into_iter().flatten() {
            rows.push(vec![
                guid.clone(),
                text(&file["path"]),
                size(&file["read_bytes"]),
                size(&file["lag_bytes"]),
            ]);
        }
        for problem in target["problems"].as_array().into_iter().flatten() {
            rows.push(vec![
                guid.clone(),
                text(problem),
                NOTHING.into(),
                NOTHING.into(),
            ]);
        }
    }
    table::render(&columns, &rows)
}
