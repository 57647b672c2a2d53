//! flyball-apiserver
