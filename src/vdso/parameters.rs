//! The parameters, filled in by the composer and changed from outside.
#![expect(unsafe_code, reason = "an exported symbol")]

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;

use crate::page::Page;

#[repr(transparent)]
struct Parameters(UnsafeCell<MaybeUninit<Page>>);

// SAFETY: only assembly reads it, a word at a time.
unsafe impl Sync for Parameters {}

#[unsafe(no_mangle)]
#[unsafe(link_section = ".page")]
static ELSEWHEN_PAGE: Parameters = Parameters(UnsafeCell::new(MaybeUninit::zeroed()));
