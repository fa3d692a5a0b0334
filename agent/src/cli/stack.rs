//! `guidon stack`: the managed components.

use super::args::ApiArgs;
use super::client::Client;
use super::output::{Output, plain};
use super::table::{self, Column, NOTHING};
use super::{CommandError, Verdict};
use crate::api::model::ComponentList;
use crate::stack::{ComponentState, ComponentStatus};

pub(super) async fn run(args: &ApiArgs, output: &mut Output) -> Result<Verdict, CommandError> {
    let list: ComponentList = Client::new(args)?.get("/api/v1/stack").await?;
    if args.json {
        output.json(&list)?;
    } else {
        output.text(&render(&list.components))?;
    }
    Ok(Verdict::Good)
}

/// A component's state in a line.
pub(super) fn line(one: &ComponentStatus) -> String {
    let mut text = one.state.as_str().to_owned();
    if let Some(version) = &one.version {
        text = format!("{text}, version {version}");
    }
    if one.restarts > 0 {
        text = format!("{text}, {} restarts", one.restarts);
    }
    match &one.reason {
        Some(reason) => format!("{text}: {reason}"),
        None => text,
    }
}

/// A table, and under it the end of what those printed that do not run.
fn render(components: &[ComponentStatus]) -> String {
    use Column::{Left, Right};
    let columns = [
        Left("NAME"),
        Left("MANAGED"),
        Left("STATE"),
        Left("VERSION"),
        Left("RUNS AS"),
        Right("RESTARTS"),
        Left("REASON"),
    ];
    let or_nothing = |text: &Option<String>| text.clone().unwrap_or_else(|| NOTHING.to_owned());
    let rows: Vec<_> = components
        .iter()
        .map(|one| {
            let runs_as = match (&one.pid, &one.container) {
                (Some(pid), _) => format!("process {pid}"),
                (_, Some(id)) => format!("container {}", id.get(..12).unwrap_or(id)),
                _ => NOTHING.to_owned(),
            };
            vec![
                one.name.clone(),
                one.managed.clone(),
                one.state.as_str().to_owned(),
                or_nothing(&one.version),
                runs_as,
                one.restarts.to_string(),
                or_nothing(&one.reason),
            ]
        })
        .collect();
    let mut text = table::render(&columns, &rows);
    for one in components
        .iter()
        .filter(|one| one.state == ComponentState::Backoff)
    {
        text.push_str(&format!("\n{} printed at last:\n", one.name));
        for line in &one.log {
            text.push_str(&format!("  {}\n", plain(line)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_that_is_down_shows_why_and_what_it_printed() {
        let text = render(&[ComponentStatus {
            name: "prometheus".into(),
            managed: "binary".into(),
            state: ComponentState::Backoff,
            reason: Some("it ended with code 1".into()),
            restarts: 2,
            log: vec!["no space\u{1b}[2J".into()],
            ..ComponentStatus::default()
        }]);
        assert!(text.contains("backoff"), "{text}");
        assert!(text.contains("it ended with code 1"), "{text}");
        assert!(text.contains("\n  no space\\u{1b}[2J\n"), "{text}");
    }
}
