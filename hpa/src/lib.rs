//! flyball-hpa
