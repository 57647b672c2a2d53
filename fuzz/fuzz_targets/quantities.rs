//! Quantities: what is read is written so that it reads the same.

#![no_main]

use flyball_model::quantity::Quantity;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(quantity) = text.parse::<Quantity>() else { return };
    let shown = quantity.to_string();
    let again: Quantity =
        shown.parse().unwrap_or_else(|error| panic!("{text:?} is shown as {shown:?}: {error}"));
    assert_eq!(quantity, again, "{text:?} is shown as {shown:?}");
    if again.format() == quantity.format() {
        assert_eq!(shown, again.to_string(), "{text:?}");
    }
    let _ = (quantity.value(), quantity.milli_value(), quantity.nano_value(), quantity.as_f64());
    if let Some(twice) = quantity.checked_add(&again) {
        assert_eq!(twice > quantity, quantity.is_positive() && !quantity.is_zero());
    }
});
