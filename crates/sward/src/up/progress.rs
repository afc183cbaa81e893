//! What `sward up` tells its user while something takes time.

use std::cell::RefCell;
use std::io::{self, IsTerminal as _, Write as _};
use std::rc::Rc;
use std::time::Instant;

/// Prints steps with their duration and lines of logs; steps show at once, so that a wait of more
/// than a moment is always explained.
pub(super) struct Progress {
    shared: Rc<RefCell<Shared>>,
}

struct Shared {
    terminal: bool,
    /// A step line without its end is on the screen.
    open: bool,
}

/// A step that has begun.
pub(super) struct Step {
    shared: Rc<RefCell<Shared>>,
    began: Instant,
    what: String,
}

impl Progress {
    pub(super) fn new() -> Self {
        let terminal = io::stdout().is_terminal();
        Progress {
            shared: Rc::new(RefCell::new(Shared {
                terminal,
                open: false,
            })),
        }
    }

    /// Says what is being done now.
    pub(super) fn begin(&self, what: &str) -> Step {
        self.shared.borrow_mut().open_step(what);
        Step {
            shared: Rc::clone(&self.shared),
            began: Instant::now(),
            what: what.to_owned(),
        }
    }

    pub(super) fn line(&self, text: &str) {
        self.shared.borrow_mut().line(text);
    }

    pub(super) fn lines(&self, lines: &[String]) {
        for line in lines {
            self.line(line);
        }
    }
}

impl Step {
    /// Says what is true now that the step is over.
    pub(super) fn done(self, result: &str) {
        self.shared.borrow_mut().end_step(result, self.began);
    }

    /// Replaces the text of the step while it goes on.
    pub(super) fn update(&mut self, what: &str) {
        if self.what != what {
            what.clone_into(&mut self.what);
            self.shared.borrow_mut().open_step(what);
        }
    }
}

impl Shared {
    fn open_step(&mut self, what: &str) {
        if self.terminal {
            self.put(&format!("\r\x1b[K… {what}"));
            self.open = true;
        } else {
            self.put(&format!("… {what}\n"));
        }
    }

    fn end_step(&mut self, result: &str, began: Instant) {
        let clear = if std::mem::take(&mut self.open) {
            "\r\x1b[K"
        } else {
            ""
        };
        self.put(&format!(
            "{clear}✓ {result} ({:.1} s)\n",
            began.elapsed().as_secs_f64()
        ));
    }

    fn line(&mut self, text: &str) {
        let clear = if std::mem::take(&mut self.open) {
            "\n"
        } else {
            ""
        };
        self.put(&format!("{clear}{text}\n"));
    }

    /// A reader that went away (a closed pipe) must not end the programs we supervise.
    fn put(&mut self, text: &str) {
        let mut out = io::stdout().lock();
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        drop(written);
    }
}
