//! The ways in which an image can read the clocks.

use elsewhen::image::{Image, ReadPathChoice};

/// Each way by its name (`--reads`).
pub(crate) const WAYS: [(&str, ReadPathChoice); 3] = [
    ("direct", ReadPathChoice::Fastest),
    ("kernel", ReadPathChoice::KernelFunction),
    ("syscall", ReadPathChoice::Syscall),
];

/// The image that reads so.
pub(crate) fn image(reads: &str) -> Image {
    let (_, choice) = WAYS.into_iter().find(|(name, _)| *name == reads).unwrap();
    Image::compose_with(choice).unwrap()
}

/// One of each.
pub(crate) fn all() -> [Image; 3] {
    WAYS.map(|(reads, _)| image(reads))
}
