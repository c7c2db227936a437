//! The command line: turns the outcome into an exit code.

fn main() {}
