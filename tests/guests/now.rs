//! Prints the time of day.
use std::time::{SystemTime, UNIX_EPOCH};

fn main() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    println!("{}.{:09}", now.as_secs(), now.subsec_nanos());
}
