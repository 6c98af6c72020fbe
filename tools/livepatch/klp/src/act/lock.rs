// SPDX-License-Identifier: GPL-2.0

//! One at a time: two that load, unload or install would each see half of what the other does.

use std::fs::{File, OpenOptions};

use rustix::fs::{flock, FlockOperation};
use rustix::io::Errno;

use crate::failure::{Exit, Failure};
use crate::root::Root;

const FILE: &str = "/run/klp.lock";

/// Nobody else changes anything as long as this is there.
pub struct Lock {
    _file: File,
}

impl Lock {
    pub fn take(root: &Root) -> Result<Self, Failure> {
        let path = root.path(FILE);
        let open = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path);
        let file = open
            .map_err(|error| Failure::of_io(&format!("cannot open {}", path.display()), error))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _file: file }),
            Err(Errno::WOULDBLOCK) => Err(Failure::new(Exit::Busy, "another klp is at work")
                .with_remedy("wait for it; klp status can be used meanwhile")),
            Err(errno) => Err(Failure::of(
                &format!("cannot lock {}", path.display()),
                errno,
            )),
        }
    }
}
