//! Floating-point numbers in JSON, exactly. JSON knows no infinities and no NaN: they become text.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Number {
    Finite(f64),
    Other(String),
}

impl Number {
    fn of(value: f64) -> Self {
        if value.is_finite() { Self::Finite(value) } else { Self::Other(value.to_string()) }
    }

    fn value<E: serde::de::Error>(self) -> Result<f64, E> {
        match self {
            Self::Finite(value) => Ok(value),
            Self::Other(text) => text.parse().map_err(|_| E::custom(format!("`{text}` is no number"))),
        }
    }
}

pub(crate) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    Number::of(*value).serialize(serializer)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Number::deserialize(deserializer)?.value()
}

/// Several numbers.
pub(crate) mod list {
    use super::{Deserialize, Deserializer, Number, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(values: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
        values.iter().copied().map(Number::of).collect::<Vec<_>>().serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
        Vec::<Number>::deserialize(deserializer)?.into_iter().map(Number::value).collect()
    }
}

/// Numbers with names, in order.
pub(crate) mod named {
    use super::{Deserialize, Deserializer, Number, Serialize, Serializer};

    type Named<T> = Vec<(String, T)>;

    pub(crate) fn serialize<S: Serializer>(values: &Named<f64>, serializer: S) -> Result<S::Ok, S::Error> {
        let numbers: Named<_> = values.iter().map(|(name, v)| (name.clone(), Number::of(*v))).collect();
        numbers.serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Named<f64>, D::Error> {
        let numbers = Named::<Number>::deserialize(deserializer)?;
        numbers.into_iter().map(|(name, number)| Ok((name, number.value()?))).collect()
    }
}
