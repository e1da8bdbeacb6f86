//! Takes all the memory it can get.

use stepcell::prelude::*;

/// Asks for memory until there is none.
#[stepcell::step(label = "Memory hog", icon = "hard-drive", category = "custom")]
fn memory_hog() -> Result<Value, Failure> {
    const PIECE_BYTES: usize = 1 << 20;
    let mut pieces = Vec::new();
    loop {
        pieces.push(std::hint::black_box(vec![1_u8; PIECE_BYTES]));
    }
}
