//! Addresses of Services.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use flyball_model::field_error::FieldError;
use serde_json::Value;

use super::json;
use super::kinds;
use super::store::State;

/// Service addresses until the instance has claimed its own network.
pub(super) const DEFAULT_ADDRESSES: RangeInclusive<Ipv4Addr> =
    Ipv4Addr::new(10, 96, 0, 1)..=Ipv4Addr::new(10, 96, 255, 254);

/// Gives a Service its `clusterIP` and `clusterIPs`, keeping the old ones on update. Headless and ExternalName Services
/// get none.
pub(super) fn assign(state: &State, service: &mut Value, old: Option<&Value>) -> Result<(), FieldError> {
    if json::text(service, "/spec/type") == "ExternalName" {
        return Ok(());
    }
    let wanted = json::text(service, "/spec/clusterIP").to_owned();
    let before = old.map_or("", |old| json::text(old, "/spec/clusterIP"));
    let address = match (wanted.as_str(), before) {
        ("", "") => free(state)?,
        ("", before) => before.to_owned(),
        (wanted, "") => requested(state, wanted)?,
        (wanted, before) if wanted == before => wanted.to_owned(),
        (wanted, _) => {
            return Err(FieldError::invalid("spec.clusterIPs[0]", wanted, "may not change once set"));
        }
    };
    let spec = json::child(json::object(service), "spec");
    spec.insert("clusterIPs".into(), Value::from(vec![address.clone()]));
    spec.insert("clusterIP".into(), Value::from(address));
    Ok(())
}

fn taken(state: &State) -> HashSet<Ipv4Addr> {
    let services = state.shelf(&kinds::SERVICES).scan(None);
    services.filter_map(|(_, service)| json::text(service, "/spec/clusterIP").parse().ok()).collect()
}

fn free(state: &State) -> Result<String, FieldError> {
    let taken = taken(state);
    let (first, last) =
        (u32::from(*state.service_addresses.start()), u32::from(*state.service_addresses.end()));
    let address = (first..=last).map(Ipv4Addr::from).find(|address| !taken.contains(address));
    let full = || FieldError::forbidden("spec.clusterIPs", "every address of the service range is in use");
    address.map(|address| address.to_string()).ok_or_else(full)
}

fn requested(state: &State, wanted: &str) -> Result<String, FieldError> {
    if wanted == "None" {
        return Ok(wanted.to_owned());
    }
    let refuse = |detail: String| FieldError::invalid("spec.clusterIPs", vec![wanted.to_owned()], detail);
    let Ok(address) = wanted.parse::<Ipv4Addr>() else {
        return Err(refuse("must be a valid IPv4 address".to_owned()));
    };
    if !state.service_addresses.contains(&address) {
        let (first, last) = (state.service_addresses.start(), state.service_addresses.end());
        return Err(refuse(format!(
            "failed to allocate IP {address}: the provided IP is not in the range of service addresses {first} to {last}"
        )));
    }
    if taken(state).contains(&address) {
        return Err(refuse(format!("failed to allocate IP {address}: provided IP is already allocated")));
    }
    Ok(wanted.to_owned())
}
