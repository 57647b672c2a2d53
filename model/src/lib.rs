//! flyball-model
