// SPDX-License-Identifier: GPL-2.0

//! One at a time: two that load, unload or install would each see half of what the other does.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::{flock, FlockOperation, OFlags};
use rustix::io::Errno;

use crate::failure::{Exit, Failure};
use crate::root::Root;

const FILE: &str = "/run/klp.lock";
/// Whoever may read the file can lock it, and hold everybody else up.
const MODE: u32 = 0o600;
const PAUSE: Duration = Duration::from_millis(100);

/// Nobody else changes anything as long as this is there.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes it, if nobody else has it.
    pub fn take(root: &Root) -> Result<Self, Failure> {
        Self::take_within(root, Duration::ZERO)
    }

    /// Takes it, and waits for whoever has it.
    pub fn take_within(root: &Root, time: Duration) -> Result<Self, Failure> {
        let path = root.path(FILE);
        let file = open(root)
            .map_err(|error| Failure::of_io(&format!("cannot open {}", path.display()), error))?;
        let deadline = Instant::now() + time;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self { _file: file }),
                Err(Errno::WOULDBLOCK) if Instant::now() < deadline => sleep(PAUSE),
                Err(Errno::WOULDBLOCK) => {
                    return Err(
                        Failure::new(Exit::Busy, "another klp is at work").with_remedy(
                            "wait for it; klp status, why, reverse and force can be used meanwhile",
                        ),
                    )
                }
                Err(Errno::INTR) => {}
                Err(errno) => {
                    let what = format!("cannot lock {}", path.display());
                    return Err(Failure::of(&what, errno));
                }
            }
        }
    }
}

fn open(root: &Root) -> io::Result<File> {
    let path = root.path(FILE);
    if let Some(dir) = path.parent().filter(|_| !root.is_live()) {
        // A copy of a system need not have it.
        fs::create_dir_all(dir)?;
    }
    let mut options = File::options();
    let file = options
        .write(true)
        .create(true)
        .truncate(false)
        .mode(MODE)
        .custom_flags(OFlags::NOFOLLOW.bits() as i32)
        .open(path)?;
    // One that is there already may be anybody's to read.
    file.set_permissions(Permissions::from_mode(MODE))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_has_it_and_nobody_else_may_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        fs::create_dir(dir.path().join("run")).unwrap();
        let path = dir.path().join("run/klp.lock");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();

        let lock = Lock::take(&root).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, MODE);
        assert_eq!(Lock::take(&root).unwrap_err().exit, Exit::Busy);
        drop(lock);
        Lock::take(&root).unwrap();
    }

    #[test]
    fn it_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        let lock = Lock::take(&root).unwrap();
        let (took, has_taken) = std::sync::mpsc::channel();
        let other = std::thread::spawn(move || {
            Lock::take_within(&root, Duration::from_secs(600)).unwrap();
            took.send(()).unwrap();
        });
        // It cannot have it, however long that takes.
        assert!(has_taken.recv_timeout(PAUSE).is_err());
        drop(lock);
        other.join().unwrap();
        has_taken.recv().unwrap();
    }

    #[test]
    fn it_is_no_link() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        fs::create_dir(dir.path().join("run")).unwrap();
        let other = dir.path().join("other");
        fs::write(&other, "").unwrap();
        std::os::unix::fs::symlink(&other, dir.path().join("run/klp.lock")).unwrap();
        assert!(Lock::take(&root).is_err());
    }
}
