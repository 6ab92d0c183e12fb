//! Sections `[[lines]]` and `[[users]]`: what can be called, and the phones that ring.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

/// A line of the subscriber.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Line {
    /// The number or name that reaches it (user part of the Request-URI), or a list of them; `*` takes any.
    #[serde(deserialize_with = "one_or_many")]
    #[schemars(schema_with = "one_or_many_schema")]
    pub number: Vec<String>,
    /// Users whose registered phones ring. A line that names neither users nor contacts rings every phone.
    pub users: Vec<String>,
    /// Phones at fixed addresses that ring, as SIP URIs: `sip:USER@HOST:PORT`.
    pub contacts: Vec<String>,
    /// How long it rings, in seconds.
    pub ring_timeout_s: u32,
    /// Language of the warnings, as `en`; without it that of `[screening]`.
    pub language: Option<String>,
}

impl Line {
    /// The number that stands for every number.
    pub const ANY: &str = "*";
}

impl Default for Line {
    fn default() -> Self {
        let number = vec![Line::ANY.to_string()];
        Line { number, users: Vec::new(), contacts: Vec::new(), ring_timeout_s: 60, language: None }
    }
}

/// A phone that may register.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// User name, also the user part of the phone's address.
    pub name: String,
    /// Password for digest authentication (RFC 8760).
    pub password: String,
}

impl User {
    /// Whether the password is the one that stands in the example configuration.
    pub(super) fn has_placeholder_password(&self) -> bool {
        self.password.starts_with("change-me")
    }
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User").field("name", &self.name).finish_non_exhaustive()
    }
}

struct OneOrMany;

impl<'de> serde::de::Visitor<'de> for OneOrMany {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a string or a list of strings")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Vec<String>, E> {
        Ok(vec![text.to_string()])
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut items: A) -> Result<Vec<String>, A::Error> {
        let mut numbers = Vec::new();
        while let Some(number) = items.next_element()? {
            numbers.push(number);
        }
        Ok(numbers)
    }
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    deserializer.deserialize_any(OneOrMany)
}

fn one_or_many_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": ["string", "array"], "items": { "type": "string" } })
}
