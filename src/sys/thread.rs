//! Threads of processes that have been forked from one with several threads.
//!
//! The standard library has a table of its threads' stacks, and locks it when one starts or ends
//! (`std::thread`, to tell a stack that overflows from another fault). fork(2) at that moment leaves the lock with
//! a thread that the child does not have, and the child's own threads would wait for it for ever. pthread_create(3)
//! does without.
#![expect(
    unsafe_code,
    reason = "pthread_create(3), pthread_join(3), and a lifetime that is the process's"
)]

use std::convert::Infallible;
use std::ffi::c_void;
use std::io;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use super::process::exit_now;

/// Bytes of a stack, where nothing else is said.
pub(crate) const STACK: usize = 2 << 20;

type Work<'a> = Box<dyn FnOnce() + Send + 'a>;

/// Starts a thread with a stack of so many bytes. A panic ends the thread alone.
///
/// # Errors
/// As for pthread_create(3).
pub(crate) fn start(stack: usize, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let thread = create(stack, Box::new(work))?;
    // SAFETY: the thread has just been made, and nobody else joins it.
    unsafe { libc::pthread_detach(thread) };
    Ok(())
}

/// Does `work` in another thread, and waits for it.
///
/// # Errors
/// As for pthread_create(3), or `work` has panicked.
pub(crate) fn elsewhere<R: Send>(stack: usize, work: impl FnOnce() -> R + Send) -> io::Result<R> {
    let mut result = None;
    let place = &mut result;
    let work: Work<'_> = Box::new(move || *place = Some(work()));
    // SAFETY: only the lifetime differs. The thread has dropped `work`, and so all that it borrows, when it is joined
    // below, before anything here can return.
    let work = unsafe { std::mem::transmute::<Work<'_>, Work<'static>>(work) };
    let thread = create(stack, work)?;
    // SAFETY: the thread has just been made, and nobody else joins it.
    unsafe { libc::pthread_join(thread, ptr::null_mut()) };
    result.ok_or_else(|| io::Error::other("a thread has panicked"))
}

/// Does the rest of what the process does. Threads may use `value` as long as they like: it stays where it is.
pub(crate) fn for_ever<T: Sync + 'static>(
    value: &T,
    rest: impl FnOnce(&'static T) -> Infallible,
) -> ! {
    struct End;
    impl Drop for End {
        fn drop(&mut self) {
            exit_now(101);
        }
    }
    let _end = End;
    // SAFETY: this never returns, and a panic ends the process before `value` can be dropped.
    match rest(unsafe { &*ptr::from_ref(value) }) {}
}

fn create(stack: usize, work: Work<'static>) -> io::Result<libc::pthread_t> {
    let work = Box::into_raw(Box::new(work));
    let mut attributes = MaybeUninit::uninit();
    let mut thread = MaybeUninit::uninit();
    // SAFETY: the attributes are initialised first and destroyed last, the new thread alone takes `work` back, and
    // `thread` is written where there is one.
    let error = unsafe {
        libc::pthread_attr_init(attributes.as_mut_ptr());
        libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), stack);
        let error =
            libc::pthread_create(thread.as_mut_ptr(), attributes.as_ptr(), enter, work.cast());
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        error
    };
    if error != 0 {
        // SAFETY: made above, and there is no thread that has it.
        drop(unsafe { Box::from_raw(work) });
        return Err(io::Error::from_raw_os_error(error));
    }
    // SAFETY: written, as there was no error.
    Ok(unsafe { thread.assume_init() })
}

extern "C" fn enter(work: *mut c_void) -> *mut c_void {
    // SAFETY: from `create`, for this thread alone.
    let work = unsafe { Box::from_raw(work.cast::<Work<'static>>()) };
    let _ = catch_unwind(AssertUnwindSafe(work));
    ptr::null_mut()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn a_thread_works_and_can_be_waited_for() {
        let (says, heard) = channel();
        start(64 << 10, move || says.send(1).unwrap()).unwrap();
        assert_eq!(heard.recv(), Ok(1));
        let text = String::from("borrowed");
        assert_eq!(elsewhere(64 << 10, || text.len()).unwrap(), 8);
    }

    #[test]
    fn a_panic_ends_the_thread_and_is_told() {
        let told = elsewhere(STACK, || std::panic::resume_unwind(Box::new(()))).map(|(): ()| ());
        assert_eq!(told.unwrap_err().to_string(), "a thread has panicked");
    }
}
