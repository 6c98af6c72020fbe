// SPDX-License-Identifier: GPL-2.0

//! Resolving a symbol name that may occur more than once.

/// The search for one symbol, fed with its occurrences in the order of the symbol table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Search {
    /// The wanted position, counted from 1; 0 asks for a unique symbol.
    sympos: usize,
    count: usize,
    addr: usize,
}

/// Why a symbol has no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unresolved {
    /// There is no such symbol.
    NotFound,
    /// There are several, and the descriptor does not say which.
    Ambiguous,
    /// There are fewer than the descriptor says.
    NoSuchPosition,
}

impl Search {
    /// Starts a search for the occurrence at `sympos`.
    pub(crate) const fn new(sympos: usize) -> Self {
        Search {
            sympos,
            count: 0,
            addr: 0,
        }
    }

    /// Has the search seen enough?
    pub(crate) const fn is_over(&self) -> bool {
        match self.sympos {
            0 => self.count > 1,
            wanted => self.count >= wanted,
        }
    }

    /// Takes the next occurrence into account.
    pub(crate) fn offer(&mut self, addr: usize) {
        if !self.is_over() {
            self.count = self.count.saturating_add(1);
            self.addr = addr;
        }
    }

    /// The address, once all occurrences were offered.
    pub(crate) const fn outcome(&self) -> Result<usize, Unresolved> {
        match (self.addr, self.sympos) {
            (0, _) => Err(Unresolved::NotFound),
            (_, 0) if self.count > 1 => Err(Unresolved::Ambiguous),
            (_, wanted) if wanted > 0 && self.count != wanted => Err(Unresolved::NoSuchPosition),
            (addr, _) => Ok(addr),
        }
    }
}
