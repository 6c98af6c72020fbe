// SPDX-License-Identifier: GPL-2.0

//! Shadow variables under concurrent readers and writers.

use super::{
    check,
    check_eq,
    Thread, //
};
use crate::shadow::{
    klp_shadow_alloc,
    klp_shadow_free,
    klp_shadow_free_all,
    klp_shadow_get,
    klp_shadow_get_or_alloc, //
};
use core::ptr;
use kernel::{
    bindings,
    ffi::c_void,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            AtomicFlag,
            Relaxed, //
        },
        rcu,
        Arc, //
    },
    time::{
        Delta,
        Instant,
        Monotonic, //
    },
};

/// So that no other user of shadow variables is met.
const READ_ID: usize = 0x6b6c_7001;
const RACE_ID: usize = 0x6b6c_7002;
const FAIL_ID: usize = 0x6b6c_7003;

const OBJECTS: usize = 4;

/// The address of an object, of which nothing but that is used.
fn object(nr: usize) -> *mut c_void {
    ptr::without_provenance_mut(0x1000 * (nr + 1))
}

/// A variable whose parts belong together.
#[repr(C)]
struct Value {
    object: usize,
    generation: usize,
    check: usize,
}

/// # Safety
///
/// For variables of the type `Value`, with a `usize` as the data of the constructor.
unsafe extern "C" fn construct(
    object: *mut c_void,
    shadow: *mut c_void,
    data: *mut c_void,
) -> c_int {
    // SAFETY: `data` points to a number, and `shadow` to the memory of a new variable, as promised.
    unsafe {
        let generation = *data.cast::<usize>();
        shadow.cast::<Value>().write(Value {
            object: object.addr(),
            generation,
            check: !(object.addr() ^ generation),
        });
    }
    0
}

/// What the readers and the writer tell each other.
struct Talk {
    over: AtomicFlag,
    found: Atomic<u32>,
    missed: Atomic<u32>,
    broken: Atomic<u32>,
}

/// [`klp_shadow_get()`].
fn shadow_get(obj: *mut c_void, id: usize) -> *mut c_void {
    // SAFETY: `obj` is an address to compare with and is not accessed; the walk is under RCU.
    unsafe { klp_shadow_get(obj, id) }
}

/// Reads all variables until the writer is done.
fn read(talk: &Talk) {
    while !talk.over.load(Relaxed) {
        for nr in 0..OBJECTS {
            let guard = rcu::read_lock();
            let value = shadow_get(object(nr), READ_ID).cast::<Value>();
            // SAFETY: A variable that was found stays allocated until the guard is dropped, and
            // what is in it is not changed once others can find it.
            let sound = unsafe { value.as_ref() }.map(|value| {
                value.object == object(nr).addr()
                    && value.check == !(value.object ^ value.generation)
            });
            drop(guard);

            let counter = match sound {
                Some(true) => &talk.found,
                Some(false) => &talk.broken,
                None => &talk.missed,
            };
            counter.add(1, Relaxed);
        }
    }
}

/// Makes and frees variables until the readers have seen enough; at most for `limit`.
fn write(talk: &Talk, limit: Delta) -> Result {
    const ROUNDS: usize = 2000;
    const ENOUGH: u32 = 1000;
    let start = Instant::<Monotonic>::now();
    let mut round = 0;

    while round < ROUNDS || talk.found.load(Relaxed).min(talk.missed.load(Relaxed)) < ENOUGH {
        check!(start.elapsed() < limit);
        for nr in 0..OBJECTS {
            let mut generation = round;
            // SAFETY: The constructor is the one for the type, and gets its data.
            let value = unsafe {
                klp_shadow_alloc(
                    object(nr),
                    READ_ID,
                    size_of::<Value>(),
                    bindings::GFP_KERNEL,
                    Some(construct),
                    (&raw mut generation).cast(),
                )
            };
            check!(!value.is_null());
        }
        // Give them up one by one, or all at once.
        if round % 2 == 0 {
            for nr in 0..OBJECTS {
                // SAFETY: There is no destructor.
                unsafe { klp_shadow_free(object(nr), READ_ID, None) };
            }
        } else {
            // SAFETY: There is no destructor.
            unsafe { klp_shadow_free_all(READ_ID, None) };
        }
        for nr in 0..OBJECTS {
            check!(shadow_get(object(nr), READ_ID).is_null());
        }
        round += 1;
    }
    Ok(())
}

const THREADS: usize = 4;
const ROUNDS: usize = 200;
/// It takes time to clear so much memory, between not finding a variable and making one: time for
/// another thread to come there, too.
const LARGE: usize = 64 * 1024;

/// What the threads that race for variables share.
struct Race {
    /// How many threads have come to a round, over all rounds.
    arrived: Atomic<usize>,
    /// What the first one got in each round.
    first: [Atomic<*mut c_void>; ROUNDS],
    /// How many got something else.
    different: Atomic<u32>,
    constructed: [Atomic<u32>; ROUNDS],
}

/// # Safety
///
/// For the race only: `data` is the counter of the constructors.
unsafe extern "C" fn count(_object: *mut c_void, _shadow: *mut c_void, data: *mut c_void) -> c_int {
    // SAFETY: `data` points to a counter that stays, as promised.
    unsafe { &*data.cast::<Atomic<u32>>() }.add(1, Relaxed);
    0
}

fn race(race: &Race) {
    let rounds = race.first.iter().zip(&race.constructed);

    for (nr, (first, constructed)) in rounds.enumerate() {
        race.arrived.add(1, Relaxed);
        while race.arrived.load(Relaxed) < THREADS * (nr + 1) {
            // SAFETY: Takes no pointer; this is the body of a kthread, which holds no lock.
            unsafe { bindings::schedule() };
        }

        // SAFETY: The constructor gets its data. It does not care for the size.
        let mine = unsafe {
            klp_shadow_get_or_alloc(
                object(nr),
                RACE_ID,
                LARGE,
                bindings::GFP_KERNEL,
                Some(count),
                ptr::from_ref(constructed).cast_mut().cast(),
            )
        };
        if let Err(theirs) = first.cmpxchg(ptr::null_mut(), mine, Relaxed) {
            if theirs != mine {
                race.different.add(1, Relaxed);
            }
        }
        if mine.is_null() {
            race.different.add(1, Relaxed);
        }
    }
}

static DESTROYED: Atomic<u32> = Atomic::new(0);

extern "C" fn destroyed(_object: *mut c_void, _shadow: *mut c_void) {
    DESTROYED.add(1, Relaxed);
}

extern "C" fn fail(_object: *mut c_void, _shadow: *mut c_void, _data: *mut c_void) -> c_int {
    EDOM.to_errno()
}

#[kunit_tests(klp_core_shadow)]
mod tests {
    use super::*;

    #[test]
    fn readers_see_whole_variables_or_none() -> Result {
        let talk = Arc::new(
            Talk {
                over: AtomicFlag::new(false),
                found: Atomic::new(0),
                missed: Atomic::new(0),
                broken: Atomic::new(0),
            },
            GFP_KERNEL,
        )?;
        let mut readers = KVec::new();
        for _ in 0..2 {
            let talk = talk.clone();
            let reader = Thread::spawn(move || {
                read(&talk);
                0
            })?;
            readers.push(reader, GFP_KERNEL)?;
        }

        let written = write(&talk, Delta::from_secs(60));
        talk.over.store(true, Relaxed);
        for reader in readers {
            check_eq!(reader.join(), 0);
        }
        // SAFETY: There is no destructor.
        unsafe { klp_shadow_free_all(READ_ID, None) };
        check_eq!(talk.broken.load(Relaxed), 0);
        written
    }

    #[test]
    fn one_constructor_wins_each_race() -> Result {
        let shared = Arc::new(
            Race {
                arrived: Atomic::new(0),
                first: [const { Atomic::new(ptr::null_mut()) }; ROUNDS],
                different: Atomic::new(0),
                constructed: [const { Atomic::new(0) }; ROUNDS],
            },
            GFP_KERNEL,
        )?;
        let mut threads = KVec::with_capacity(THREADS, GFP_KERNEL)?;
        for _ in 0..THREADS {
            let shared = shared.clone();
            let thread = Thread::spawn(move || {
                race(&shared);
                0
            })?;
            threads.push(thread, GFP_KERNEL)?;
        }
        for thread in threads {
            check_eq!(thread.join(), 0);
        }

        let found = (0..ROUNDS).filter(|&nr| !shadow_get(object(nr), RACE_ID).is_null());
        let found = found.count();
        DESTROYED.store(0, Relaxed);
        // SAFETY: The destructor does not touch the variables.
        unsafe { klp_shadow_free_all(RACE_ID, Some(destroyed)) };

        check_eq!(shared.different.load(Relaxed), 0);
        for constructed in &shared.constructed {
            check_eq!(constructed.load(Relaxed), 1);
        }
        check_eq!(found, ROUNDS);
        check_eq!(DESTROYED.load(Relaxed) as usize, ROUNDS);
        for nr in 0..ROUNDS {
            check!(shadow_get(object(nr), RACE_ID).is_null());
        }
        Ok(())
    }

    #[test]
    fn nothing_remains_of_a_constructor_that_fails() -> Result {
        for construct in [klp_shadow_alloc, klp_shadow_get_or_alloc] {
            // SAFETY: The constructor touches nothing.
            let value = unsafe {
                construct(
                    object(0),
                    FAIL_ID,
                    16,
                    bindings::GFP_KERNEL,
                    Some(fail),
                    ptr::null_mut(),
                )
            };
            check!(value.is_null());
            check!(shadow_get(object(0), FAIL_ID).is_null());
        }
        DESTROYED.store(0, Relaxed);
        // SAFETY: The destructor does not touch the variables.
        unsafe { klp_shadow_free_all(FAIL_ID, Some(destroyed)) };
        check_eq!(DESTROYED.load(Relaxed), 0);
        Ok(())
    }
}
