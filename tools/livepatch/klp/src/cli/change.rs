// SPDX-License-Identifier: GPL-2.0

//! The verbs that change something.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};
use klp::act::{self, Checking, Load, Lock, OnStall, Waiting};
use klp::failure::{Exit, Failure};
use klp::render;
use klp::root::Root;
use klp::source::guard;

use super::duration;

/// The verbs that change something.
#[derive(Subcommand)]
pub(super) enum Change {
    /// Load a livepatch, and wait until all tasks run it
    Load {
        /// File, or name of an installed one
        #[arg(value_name = "FILE|NAME", required_unless_present = "all")]
        what: Option<String>,
        /// All that is installed for this kernel
        #[arg(long, conflicts_with = "what")]
        all: bool,
        /// As the kernel's command line wants it, and without those that have crashed a boot
        #[arg(long, requires = "all", conflicts_with = "what")]
        boot: bool,
        /// Before the root file system is there: only the command line counts
        #[arg(long, requires = "boot")]
        initrd: bool,
        /// Only look whether it could be loaded
        #[arg(long)]
        dry_run: bool,
        /// Load only what `klp check` has no fail for; strict: and nothing that cannot be told
        #[arg(long, value_enum, default_value = "off")]
        check: Checking,
        /// Leave the modules of livepatches that this one replaces
        #[arg(long)]
        keep_replaced: bool,
        #[command(flatten)]
        wait: Wait,
    },
    /// Disable a livepatch, and remove its module
    Unload {
        name: String,
        #[command(flatten)]
        deadline: Deadline,
    },
    /// Enable a livepatch that is registered, or is being disabled
    Enable {
        name: String,
        #[command(flatten)]
        wait: Wait,
    },
    /// Disable a livepatch
    Disable {
        name: String,
        #[command(flatten)]
        wait: Wait,
    },
    /// Turn the transition that runs around
    Reverse {
        /// Only if it is this one's
        name: Option<String>,
        /// Give up waiting after this time
        #[arg(long, value_name = "TIME", default_value = "2m", value_parser = duration)]
        timeout: Duration,
    },
    /// Move all tasks that are left, wherever they are: they may crash
    Force {
        name: String,
        /// A livepatch that is being disabled can never be removed then, nor can those that a new
        /// one replaces
        #[arg(long, required = true)]
        i_accept_no_unload: bool,
    },
    /// Remove the modules of livepatches that are gone
    Gc {
        /// Only name them
        #[arg(long)]
        dry_run: bool,
    },
    /// Livepatches of which is not known yet whether they crash a boot, or which have
    #[command(group(ArgGroup::new("what").args(["clear", "settle", "end"])))]
    Guard {
        /// Have one loaded again that has crashed a boot; all if none is named
        #[arg(long, value_name = "NAME", num_args = 0..=1)]
        clear: Option<Option<String>>,
        /// This boot goes well: let the next one load what this has loaded, unless the kernel has
        /// complained of its code
        #[arg(long)]
        settle: bool,
        /// This boot ends as it should: let the next one load what this has loaded
        #[arg(long)]
        end: bool,
    },
    /// Have a livepatch loaded at boot
    Install {
        file: PathBuf,
        /// The kernel that it must have been built for
        #[arg(short = 'k', long, value_name = "RELEASE")]
        kernel_version: Option<String>,
    },
    /// Do not load a livepatch at boot any more
    Uninstall {
        name: String,
        /// Of this kernel, not of the running one
        #[arg(short = 'k', long, value_name = "RELEASE")]
        kernel_version: Option<String>,
    },
}

struct Needs {
    /// It takes more than one step. Whoever gets a transition out of the way needs one, and must not
    /// wait for those that wait for its end.
    lock: bool,
    /// A copy of a system's files has none that would do anything.
    kernel: bool,
}

impl Change {
    fn needs(&self) -> Needs {
        let (lock, kernel) = match self {
            Self::Load { dry_run: true, .. } | Self::Gc { dry_run: true } => (false, false),
            Self::Load { .. } | Self::Gc { .. } => (true, true),
            Self::Install { .. } | Self::Uninstall { .. } => (true, false),
            // The former takes the lock itself, for its second half.
            Self::Unload { .. }
            | Self::Enable { .. }
            | Self::Disable { .. }
            | Self::Reverse { .. }
            | Self::Force { .. } => (false, true),
            Self::Guard { .. } => (false, false),
        };
        Needs { lock, kernel }
    }

    /// Answers what was done.
    pub(super) fn run(self, root: &Root) -> Result<String, Failure> {
        let needs = self.needs();
        if needs.kernel && !root.is_live() {
            return Err(Failure::new(
                Exit::Failed,
                "with --root, only install, uninstall and guard change anything",
            ));
        }
        let lock = needs.lock.then(|| Lock::take(root));
        let _lock = lock.transpose()?;
        match self {
            Self::Load {
                what,
                boot,
                initrd,
                dry_run,
                check,
                keep_replaced,
                wait,
                ..
            } => {
                let how = Load {
                    waiting: wait.into(),
                    checking: check,
                    dry_run,
                    keep_replaced,
                    in_initramfs: initrd,
                };
                match what {
                    Some(what) => act::load(root, &what, &how),
                    None if boot => act::load_at_boot(root, &how),
                    None => act::load_all(root, &how),
                }
            }
            Self::Unload { name, deadline } => act::unload(root, &name, &deadline.waiting(false)),
            Self::Enable { name, wait } => act::enable(root, &name, &wait.into()),
            Self::Disable { name, wait } => act::disable(root, &name, &wait.into()),
            Self::Reverse { name, timeout } => {
                let waiting = Waiting {
                    timeout,
                    on_stall: OnStall::Keep,
                    no_wait: false,
                    progress: true,
                };
                act::reverse(root, name.as_deref(), &waiting)
            }
            Self::Force { name, .. } => act::force(root, &name),
            Self::Gc { dry_run } => act::gc(root, dry_run),
            Self::Guard {
                clear: Some(name), ..
            } => act::guard_clear(root, name.as_deref()),
            Self::Guard { settle: true, .. } => act::guard_settle(root),
            Self::Guard { end: true, .. } => act::guard_end(root),
            Self::Guard { .. } => Ok(render::guards(&guard::guards(root)?)),
            Self::Install {
                file,
                kernel_version,
            } => act::install(root, &file, kernel_version.as_deref()),
            Self::Uninstall {
                name,
                kernel_version,
            } => act::uninstall(root, &name, kernel_version.as_deref()),
        }
    }
}

/// How long to wait for the end of a transition.
#[derive(Args, Clone, Copy)]
pub(super) struct Deadline {
    /// How long a transition may take
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = duration)]
    timeout: Duration,
    /// What becomes of one that takes longer
    #[arg(long, value_enum, default_value = "keep")]
    on_stall: OnStall,
    /// Show no progress
    #[arg(long)]
    no_progress: bool,
}

#[derive(Args, Clone, Copy)]
pub(super) struct Wait {
    #[command(flatten)]
    deadline: Deadline,
    /// Do not wait
    #[arg(long)]
    no_wait: bool,
}

impl Deadline {
    fn waiting(self, no_wait: bool) -> Waiting {
        Waiting {
            timeout: self.timeout,
            on_stall: self.on_stall,
            no_wait,
            progress: !self.no_progress,
        }
    }
}

impl From<Wait> for Waiting {
    fn from(wait: Wait) -> Self {
        wait.deadline.waiting(wait.no_wait)
    }
}
