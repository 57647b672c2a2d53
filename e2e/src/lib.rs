//! flyball-e2e
