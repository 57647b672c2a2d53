//! flyball-local
