//! flyball-metrics-server
