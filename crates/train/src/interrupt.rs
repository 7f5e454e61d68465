//! Ctrl-C: the training under way saves and stops; a second one ends the process at once.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

static REQUESTED: AtomicBool = AtomicBool::new(false);
static LISTENERS: AtomicUsize = AtomicUsize::new(0);
static INSTALL: Once = Once::new();

/// What a shell reports of a process that Ctrl-C ended: 128 + SIGINT.
#[cfg(any(unix, windows))]
const INTERRUPTED: i32 = 130;

/// As long as one exists, Ctrl-C (and, on Unix, SIGTERM and SIGHUP) is a request instead of the end.
pub(crate) struct Interrupt(());

impl Interrupt {
    /// Begins to listen. A program that has a handler of its own keeps it, and is not listened to.
    pub(crate) fn listen() -> Self {
        INSTALL.call_once(install);
        if LISTENERS.fetch_add(1, Ordering::SeqCst) == 0 {
            REQUESTED.store(false, Ordering::SeqCst);
        }
        Self(())
    }

    /// Whether training should save and stop.
    pub(crate) fn is_requested(&self) -> bool {
        REQUESTED.load(Ordering::SeqCst)
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        LISTENERS.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(any(unix, windows))]
fn install() {
    // An error means that the program has installed a handler before; it knows what it wants.
    let _ = ctrlc::try_set_handler(|| {
        if LISTENERS.load(Ordering::SeqCst) == 0 || REQUESTED.swap(true, Ordering::SeqCst) {
            std::process::exit(INTERRUPTED);
        }
    });
}

#[cfg(not(any(unix, windows)))]
fn install() {}
