//! Closing an image: its reads and waits then ask the supervisor, each by a system call.
//!
//! That is how a process waits for a namespace of its children's: after unshare(2) with `CLONE_NEWTIME`
//! it stays where it is, and a child that fork(2) makes is in the new one. Nobody tells of the
//! fork; the child has its parent's image, and asks as its parent does.
//!
//! Only operands of instructions change, each in an aligned word, so that threads may run in the code
//! meanwhile: a read that is under way ends as it began.

use super::ReadPath;

/// The words that differ between an open and a closed image.
#[derive(Clone, Debug)]
pub(crate) struct Doors {
    words: Vec<Door>,
    /// Whether no more than operands differ.
    only_operands: bool,
}

/// One aligned word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Door {
    /// Where it lies in the image.
    pub(crate) at: usize,
    pub(crate) open: [u8; 8],
    pub(crate) closed: [u8; 8],
}

impl Doors {
    pub(super) fn between(open: &[u8], closed: &[u8], path: &ReadPath) -> Self {
        let word = |image: &[u8], at: usize| image[at..at + 8].try_into().expect("eight bytes");
        let words = (0..open.len())
            .step_by(8)
            .map(|at| Door {
                at,
                open: word(open, at),
                closed: word(closed, at),
            })
            .filter(|door| door.open != door.closed)
            .collect();
        Self {
            words,
            // In place of the kernel's function there is other code.
            only_operands: !matches!(path, ReadPath::KernelFunction { .. }),
        }
    }

    /// The words, unless threads that run may be amid them.
    pub(crate) fn words(&self, has_threads: bool) -> &[Door] {
        match has_threads && !self.only_operands {
            true => &[],
            false => &self.words,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{Image, ReadPathChoice};

    #[test]
    fn a_closed_image_differs_in_a_few_operands() {
        let image = Image::compose().unwrap();
        if *image.read_path() != ReadPath::Direct {
            return;
        }
        let doors = image.doors();
        let differing = |door: &Door| {
            let pairs = door.open.iter().zip(door.closed);
            pairs.filter(|(open, closed)| **open != *closed).count()
        };
        // Two bytes, a mask of three and a distance.
        assert!((3..=6).contains(&doors.words.len()), "{doors:?}");
        assert!(doors.words.iter().map(differing).sum::<usize>() <= 9);
        assert_eq!(doors.words(true), doors.words(false));
    }

    #[test]
    fn the_kernels_function_is_replaced_only_where_no_thread_can_be_in_it() {
        let Ok(image) = Image::compose_with(ReadPathChoice::KernelFunction) else {
            return;
        };
        if !matches!(image.read_path(), ReadPath::KernelFunction { .. }) {
            return;
        }
        assert!(!image.doors().words(false).is_empty());
        assert!(image.doors().words(true).is_empty());
    }
}
