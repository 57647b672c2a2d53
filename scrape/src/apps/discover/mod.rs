mod endpoints;
mod meta;
mod node;
mod pod;
