// SPDX-License-Identifier: GPL-2.0

//! The verb that goes on looking.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use clap::Args;
use klp::failure::Failure;
use klp::render;
use klp::root::Root;
use klp::system::{Status, System};
use klp::text::printable_lines;

use rustix::event::{poll, PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use super::duration;

/// `klp watch`
#[derive(Args)]
pub(super) struct Watch {
    /// Look that often
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    interval: Duration,
    /// Look that many times, instead of until somebody interrupts it
    #[arg(long, value_name = "NUMBER")]
    times: Option<u64>,
    /// A transition that takes that long counts as stalled
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    stall: Duration,
}

/// To look takes time of its own.
const SHORTEST: Duration = Duration::from_millis(100);

/// Waits; does anybody still look?
fn pause(time: Duration) -> io::Result<bool> {
    let timeout = Timespec::try_from(time).map_err(io::Error::other)?;
    let stdout = io::stdout();
    // Nothing is asked for: an error is told anyway.
    let mut fds = [PollFd::new(&stdout, PollFlags::empty())];
    match poll(&mut fds, Some(&timeout)) {
        Ok(_) | Err(Errno::INTR) => Ok(!fds[0].revents().contains(PollFlags::ERR)),
        Err(error) => Err(error.into()),
    }
}

/// Clears a terminal, and begins at its top.
const CLEAR: &str = "\x1b[H\x1b[2J";

impl Watch {
    /// At a terminal there is one screen, which changes. Elsewhere each screen that is not like the
    /// one before is printed below that.
    pub(super) fn run(self, root: &Root) -> Result<(), Failure> {
        let at_terminal = io::stdout().is_terminal();
        let mut before = None;
        let mut left = self.times;
        while left != Some(0) {
            let screen = screen(root, self.stall)?;
            let lead = match &before {
                _ if at_terminal => Some(CLEAR),
                None => Some(""),
                Some(before) => (*before != screen).then_some("\n"),
            };
            match lead.map(|lead| writeln!(io::stdout(), "{lead}{screen}")) {
                // Nobody looks any more.
                Some(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => break,
                Some(written) => written?,
                None => {}
            }
            before = Some(screen);
            left = left.map(|left| left - 1);
            if left != Some(0) && !pause(self.interval.max(SHORTEST))? {
                break;
            }
        }
        Ok(())
    }
}

/// How things stand, and whom a transition waits for.
fn screen(root: &Root, stall: Duration) -> Result<String, Failure> {
    let system = System::read(root, true)?;
    let mut text = render::status(&Status::of(&system, stall));
    if system.transition.is_some() {
        text.push('\n');
        text += &render::why(system.transition.as_ref(), false);
    }
    Ok(printable_lines(text.trim_end()))
}
