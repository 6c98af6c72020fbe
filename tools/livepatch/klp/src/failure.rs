// SPDX-License-Identifier: GPL-2.0

//! What can go wrong, as an exit code, a sentence, and what helps.

use std::io;

use rustix::io::Errno;

/// What a verb ends with. `klp status --exit-code` has codes of its own ([`crate::verdict`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Failed = 1,
    NoSuchPatch = 3,
    Refused = 4,
    StalledReversed = 5,
    StalledLeft = 6,
    Busy = 7,
    NotPermitted = 8,
    CannotLivepatch = 9,
    /// A boot that had loaded it did not end well.
    LockedOut = 12,
}

/// A verb that has not done what it was asked for.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    pub exit: Exit,
    pub text: String,
    /// What the administrator can do.
    pub remedy: Option<String>,
}

impl Failure {
    pub fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self {
            exit,
            text: text.into(),
            remedy: None,
        }
    }

    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    pub fn no_such_patch(name: &str) -> Self {
        Self::new(Exit::NoSuchPatch, format!("there is no livepatch {name}"))
            .with_remedy("klp list shows what is there")
    }

    pub fn cannot_livepatch() -> Self {
        Self::new(Exit::CannotLivepatch, "this kernel cannot livepatch")
            .with_remedy("a kernel with CONFIG_LIVEPATCH=y is needed")
    }

    pub fn log_hidden() -> Self {
        Self::new(
            Exit::NotPermitted,
            "the kernel's log may only be read by root",
        )
    }

    pub fn store_hidden() -> Self {
        let text = format!("{} may not be read", crate::source::store::DIR);
        Self::new(Exit::NotPermitted, text).with_remedy("only root may do that")
    }

    /// An error of the kernel's that means the same wherever it comes from.
    pub fn of(what: &str, errno: Errno) -> Self {
        let error = io::Error::from(errno);
        match errno {
            Errno::PERM | Errno::ACCESS => {
                Self::new(Exit::NotPermitted, format!("{what}: {error}"))
                    .with_remedy("only root may do that")
            }
            _ => Self::new(Exit::Failed, format!("{what}: {error}")),
        }
    }
}

impl Failure {
    /// As [`Self::of`], for an error that may not be the kernel's.
    pub fn of_io(what: &str, error: io::Error) -> Self {
        match Errno::from_io_error(&error) {
            Some(errno) => Self::of(what, errno),
            None => Self::new(Exit::Failed, error.to_string()),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::of_io("cannot go on", error)
    }
}

impl From<crate::module::Error> for Failure {
    fn from(error: crate::module::Error) -> Self {
        let exit = match &error {
            crate::module::Error::Unreadable { .. } => Exit::Failed,
            crate::module::Error::NoModule { .. } => Exit::Refused,
        };
        Self::new(exit, error.to_string())
    }
}
