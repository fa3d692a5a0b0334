//! What Jaeger's components need of `receive`.

use crate::config::{Config, JaegerVersion, Managed};

pub(super) fn violations(
    config: &Config,
    complain: &mut impl FnMut(&[&str], String, &'static str),
) {
    let (stack, receive) = (&config.stack, &config.receive);
    let doors = &receive.jaeger;
    let collector = &stack.jaeger_collector;
    let (has_agent, has_collector) = stack.takes_jaeger();
    if has_collector {
        if doors.grpc.is_none() && doors.http.is_none() {
            complain(
                &["stack.jaeger_collector.managed", "receive.jaeger"],
                "nothing says where it listens: receive.jaeger.grpc and http are off".to_owned(),
                "set one of them; the agent leaves them to it",
            );
        }
        let (key, is_on) = match collector.version {
            JaegerVersion::One if collector.writes_to_agent() => {
                ("receive.otlp_grpc", receive.otlp_grpc.is_some())
            }
            // Its owner wants its spans elsewhere.
            JaegerVersion::One => ("receive.otlp_grpc", true),
            JaegerVersion::Two => ("receive.otlp_http", receive.otlp_http.is_some()),
        };
        if !is_on {
            complain(
                &["stack.jaeger_collector.managed", key],
                format!("its spans have nowhere to go: {key} is switched off"),
                "let the agent listen there",
            );
        }
    }
    if has_agent && stack.jaeger_agent.component.managed != Managed::External {
        if doors.compact.is_none() && doors.binary.is_none() {
            complain(
                &["stack.jaeger_agent.managed", "receive.jaeger"],
                "nothing says where it listens: receive.jaeger.compact and binary are off"
                    .to_owned(),
                "set one of them; the agent leaves them to it",
            );
        }
        if stack.jaeger_agent.collector.is_none() && doors.grpc.is_none() {
            complain(
                &["stack.jaeger_agent.managed", "receive.jaeger.grpc"],
                "its spans have nowhere to go: receive.jaeger.grpc is switched off".to_owned(),
                "set it, or name the collector as stack.jaeger_agent.collector",
            );
        }
    }
}
