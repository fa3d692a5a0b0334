//! Attributes as labels.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};

use super::names;
use crate::config::Guid;
use crate::signal::tag::GUID_KEY;

/// Resource attributes that become `job` and `instance`.
const IDENTIFYING: [&str; 3] = ["service.namespace", "service.name", "service.instance.id"];

/// Labels of a series but its name: unique, no empty values, in no order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LabelSet {
    /// From the resource: these win over attributes of the same name.
    fixed: Vec<(String, String)>,
    others: Vec<(String, String)>,
}

impl LabelSet {
    /// `guid`, `job` and `instance`.
    pub(super) fn of_resource(attributes: &[KeyValue], guid: &Guid) -> Self {
        let get = |key: &str| {
            attributes
                .iter()
                .rfind(|pair| pair.key == key)
                .map(text)
                .unwrap_or_default()
        };
        let [namespace, name, instance] = IDENTIFYING.map(get);
        let job = match (namespace.is_empty(), name.is_empty()) {
            (_, true) => String::new(),
            (true, false) => name,
            (false, false) => format!("{namespace}/{name}"),
        };
        let fixed = [
            (GUID_KEY, guid.as_str().to_owned()),
            ("job", job),
            ("instance", instance),
        ];
        Self {
            fixed: fixed
                .into_iter()
                .filter(|(_, value)| !value.is_empty())
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
            others: Vec::new(),
        }
    }

    /// Whether the resource says what it is.
    pub(super) fn is_identified(&self) -> bool {
        self.fixed.iter().any(|(name, _)| name != GUID_KEY)
    }

    /// With the scope's name, version, schema and attributes, where it says them.
    pub(super) fn with_scope(&self, scope: &InstrumentationScope, schema_url: &str) -> Self {
        let mut labels = self.clone();
        for (name, value) in [
            ("otel_scope_name", scope.name.as_str()),
            ("otel_scope_version", &scope.version),
            ("otel_scope_schema_url", schema_url),
        ] {
            labels.set(name.to_owned(), value.to_owned());
        }
        for pair in &scope.attributes {
            let name = format!("otel_scope_{}", names::label(&pair.key));
            labels.set(name, text(pair));
        }
        labels
    }

    /// With a point's attributes.
    pub(super) fn with_attributes(&self, attributes: &[KeyValue]) -> Self {
        let mut labels = self.clone();
        // Of keys that become one name the values are joined, in the order of the keys.
        let mut sorted: Vec<&KeyValue> = attributes.iter().collect();
        sorted.sort_by(|left, right| left.key.cmp(&right.key));
        let mut from_attributes: Vec<(String, String)> = Vec::with_capacity(sorted.len());
        for pair in sorted {
            let (name, value) = (names::label(&pair.key), text(pair));
            if value.is_empty() || pair.key.is_empty() {
                continue;
            }
            match from_attributes.iter_mut().find(|(known, _)| *known == name) {
                Some((_, joined)) => {
                    joined.push(';');
                    joined.push_str(&value);
                }
                None => from_attributes.push((name, value)),
            }
        }
        for (name, value) in from_attributes {
            labels.set(name, value);
        }
        labels
    }

    fn set(&mut self, name: String, value: String) {
        // The name of the metric is nobody's attribute.
        if value.is_empty()
            || name == "__name__"
            || self.fixed.iter().any(|(known, _)| *known == name)
        {
            return;
        }
        match self.others.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => self.others.push((name, value)),
        }
    }

    /// All labels of a series of this name, with one more that wins over all others, in order.
    pub(super) fn of_series<'l>(
        &'l self,
        name: &'l str,
        more: Option<(&'l str, &'l str)>,
    ) -> Vec<(&'l str, &'l str)> {
        let mut all: Vec<(&str, &str)> = self
            .fixed
            .iter()
            .chain(&self.others)
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .filter(|(name, _)| more.is_none_or(|(more, _)| more != *name))
            .collect();
        all.push(("__name__", name));
        all.extend(more);
        all.sort_unstable();
        all
    }
}

/// Resource attributes that are neither the guid nor in `job` or `instance`.
pub(super) fn informing(attributes: &[KeyValue]) -> Vec<KeyValue> {
    attributes
        .iter()
        .filter(|pair| pair.key != GUID_KEY && !IDENTIFYING.contains(&pair.key.as_str()))
        .cloned()
        .collect()
}

/// A value as a label's: strings as they are, lists and maps as JSON.
pub(super) fn text(pair: &KeyValue) -> String {
    match pair.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::BytesValue(bytes)) => BASE64_STANDARD.encode(bytes),
        Some(value) => match json(value) {
            serde_json::Value::Null => String::new(),
            json => json.to_string(),
        },
        None => String::new(),
    }
}

fn json(value: &Value) -> serde_json::Value {
    let nested = |value: &Option<AnyValue>| {
        value
            .as_ref()
            .and_then(|value| value.value.as_ref())
            .map_or(serde_json::Value::Null, json)
    };
    match value {
        Value::StringValue(text) => text.as_str().into(),
        Value::BoolValue(value) => (*value).into(),
        Value::IntValue(value) => (*value).into(),
        Value::DoubleValue(value) => match serde_json::Number::from_f64(*value) {
            Some(number) => number.into(),
            None => value.to_string().into(),
        },
        Value::BytesValue(bytes) => BASE64_STANDARD.encode(bytes).into(),
        Value::ArrayValue(list) => list
            .values
            .iter()
            .map(|value| value.value.as_ref().map_or(serde_json::Value::Null, json))
            .collect(),
        Value::KvlistValue(map) => map
            .values
            .iter()
            .map(|pair| (pair.key.clone(), nested(&pair.value)))
            .collect(),
        // Of profiles: a reference into a table that is not here.
        Value::StringValueStrindex(_) => serde_json::Value::Null,
    }
}
