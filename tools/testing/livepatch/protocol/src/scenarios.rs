// SPDX-License-Identifier: GPL-2.0

//! All scenarios: the small ones of the tests, and the large ones.

use crate::{
    config::{
        Config,
        PatchConfig, //
    },
    model::operation::Registration,
    terms::{
        Kind,
        Life, //
    },
};

const USER: (Kind, Life) = (Kind::User, Life::User);
const UNBORN: (Kind, Life) = (Kind::User, Life::Unborn);
const KTHREAD: (Kind, Life) = (Kind::Kthread, Life::Kernel);
const IDLE: (Kind, Life) = (Kind::Idle, Life::Kernel);

const F: u8 = 1;
const G: u8 = 2;

const fn patch(funcs: u8) -> PatchConfig {
    PatchConfig {
        funcs,
        replace: false,
    }
}

const fn replacing(funcs: u8) -> PatchConfig {
    PatchConfig {
        funcs,
        replace: true,
    }
}

const BASE: Config = Config {
    name: "",
    tasks: &[USER],
    funcs: 2,
    module_func: None,
    patches: &[patch(F | G)],
    registration: Registration::OneShot,
    depth: 2,
    fork: false,
    preempt_rt: false,
    exit: false,
    restart: false,
    force: false,
    switch: false,
    cpus: false,
    failures: true,
    quiet: false,
    thorough: false,
    large: false,
    fault: None,
};

const FORK: Config = Config {
    name: "fork",
    tasks: &[USER, UNBORN],
    funcs: 1,
    patches: &[patch(F)],
    depth: 1,
    fork: true,
    ..BASE
};

pub(crate) const SCENARIOS: &[Config] = &[
    Config {
        name: "one",
        thorough: true,
        ..BASE
    },
    Config {
        name: "kthread",
        thorough: true,
        tasks: &[KTHREAD],
        ..BASE
    },
    FORK,
    Config {
        name: "fork-rt",
        preempt_rt: true,
        ..FORK
    },
    // Has only the counter-example to a walk without the lock that takes a reversal, and not the
    // shorter ones.
    Config {
        name: "fork-reverse",
        tasks: &[USER, UNBORN],
        depth: 1,
        fork: true,
        failures: false,
        quiet: true,
        large: true,
        ..BASE
    },
    Config {
        name: "restart",
        tasks: &[USER],
        funcs: 1,
        patches: &[patch(F)],
        depth: 1,
        restart: true,
        ..BASE
    },
    // Has the counter-example to a transition that leaves flags behind: it takes the child of a
    // task that was met twice.
    Config {
        name: "fork-restart",
        restart: true,
        failures: false,
        quiet: true,
        large: true,
        ..FORK
    },
    Config {
        name: "exit",
        thorough: true,
        tasks: &[USER],
        funcs: 1,
        patches: &[patch(F)],
        depth: 1,
        exit: true,
        ..BASE
    },
    Config {
        name: "idle",
        thorough: true,
        tasks: &[IDLE],
        cpus: true,
        ..BASE
    },
    Config {
        name: "stacked",
        patches: &[patch(F), patch(F | G)],
        ..BASE
    },
    Config {
        name: "replace",
        patches: &[patch(F | G), replacing(F)],
        ..BASE
    },
    // Calls come to the handler in any state, as when a tracer is at the function, and jump again.
    Config {
        name: "switch",
        patches: &[patch(F), patch(F)],
        funcs: 1,
        depth: 1,
        switch: true,
        ..BASE
    },
    Config {
        name: "module",
        module_func: Some(1),
        ..BASE
    },
    Config {
        name: "force",
        force: true,
        depth: 1,
        ..BASE
    },
    Config {
        name: "force-kthread",
        tasks: &[KTHREAD],
        force: true,
        ..BASE
    },
    Config {
        name: "force-exit",
        funcs: 1,
        patches: &[patch(F)],
        depth: 1,
        exit: true,
        force: true,
        ..BASE
    },
    Config {
        name: "force-idle",
        tasks: &[IDLE],
        cpus: true,
        force: true,
        ..BASE
    },
    Config {
        name: "force-replace",
        funcs: 1,
        patches: &[patch(F), patch(F), replacing(F)],
        force: true,
        depth: 1,
        large: true,
        ..BASE
    },
    Config {
        name: "two",
        tasks: &[USER, KTHREAD],
        large: true,
        ..BASE
    },
    Config {
        name: "crowd",
        tasks: &[USER, KTHREAD, IDLE],
        funcs: 1,
        patches: &[patch(F)],
        depth: 1,
        large: true,
        ..BASE
    },
    Config {
        name: "cpus",
        tasks: &[IDLE, IDLE],
        cpus: true,
        funcs: 1,
        patches: &[patch(F)],
        depth: 1,
        ..BASE
    },
    Config {
        name: "module-stacked",
        module_func: Some(1),
        patches: &[patch(F | G), patch(G)],
        ..BASE
    },
    Config {
        name: "registered",
        patches: &[patch(F), patch(F | G)],
        registration: Registration::Registered,
        ..BASE
    },
];
