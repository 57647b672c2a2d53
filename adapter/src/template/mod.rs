//! Go's text/template between `<<` and `>>`, as far as queries use it.
