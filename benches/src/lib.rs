//! flyball-benches
