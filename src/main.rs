//! The `elsewhen` command.
fn main() {}
