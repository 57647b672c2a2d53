//! flyball-collector
