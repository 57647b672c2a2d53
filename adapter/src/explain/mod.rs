//! Why a metric is there or is not, in words.
