//! Go's decoder takes `null` for the zero value of any field; serde does so for `Option` only.

use serde::{Deserialize, Deserializer};

/// Reads `null` as the default.
pub(super) fn nullable<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
