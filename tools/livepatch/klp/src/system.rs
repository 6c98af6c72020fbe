// SPDX-License-Identifier: GPL-2.0

//! All that is to be said of a system's livepatches, as `klp status --json` says it.

use std::io;
use std::time::Duration;

use serde::Serialize;

use crate::blockers::{blockers, told, Blocker};
use crate::history::History;
use crate::module::ModuleFile;
use crate::root::Root;
use crate::source::guard::{self, Guard};
use crate::source::kernel::{self, Kernel};
use crate::source::kmsg;
use crate::source::store::{self, Installed};
use crate::source::sysfs::Target;
use crate::source::transition::{account, Account};
use crate::source::{modules, sysfs, tasks};
use crate::verdict::Verdict;

/// The system.
#[derive(Clone, Debug, Serialize)]
pub struct System {
    pub kernel: Kernel,
    pub transition: Option<Transition>,
    /// The oldest first.
    pub patches: Vec<Patch>,
    /// Livepatch modules that are loaded and patch nothing any more.
    pub leftover: Vec<String>,
    /// [`None`]: they may not be seen.
    pub installed: Option<Vec<InstalledPatch>>,
    /// Does the kernel have livepatching?
    #[serde(skip)]
    pub can_livepatch: bool,
    /// What the kernel's log tells; empty if it may not be read.
    #[serde(skip)]
    pub history: History,
}

/// The system, and what is to be said of it. Fields are only ever added under one number of the
/// schema; what is not known is `null`.
#[derive(Clone, Debug, Serialize)]
pub struct Status<'a> {
    schema: &'static str,
    pub verdict: Verdict,
    #[serde(flatten)]
    pub system: &'a System,
}

impl<'a> Status<'a> {
    /// A transition that takes `stall` or more counts as stalled.
    pub fn of(system: &'a System, stall: Duration) -> Self {
        Self {
            schema: "klp/status/1",
            verdict: Verdict::of(system, stall),
            system,
        }
    }
}

/// The transition that runs: there is one at a time.
#[derive(Clone, Debug, Serialize)]
pub struct Transition {
    pub patch: String,
    #[serde(serialize_with = "target")]
    pub target: Target,
    /// For how long it has been running.
    pub age_ms: Option<u64>,
    /// For how long at least, if its start is no longer in the kernel's log.
    pub age_min_ms: Option<u64>,
    /// How many tasks there are.
    pub tasks: usize,
    /// Those that have not been moved, as the kernel says or else as far as `/proc` shows them;
    /// [`None`]: there are tasks whose state may not be read.
    pub left: Option<usize>,
    /// Is all this the kernel's own account?
    pub exact: bool,
    /// [`None`]: nobody has asked for them.
    pub blockers: Option<Vec<Blocker>>,
}

fn target<S: serde::Serializer>(target: &Target, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(target.name())
}

/// A livepatch that is there.
#[derive(Clone, Debug, Serialize)]
pub struct Patch {
    pub name: String,
    pub enabled: bool,
    pub transition: bool,
    pub replace: Option<bool>,
    pub stack_order: Option<u32>,
    /// Were tasks moved to it by force?
    pub forced: Option<bool>,
    /// For how long it has been as it is.
    pub since_ms: Option<u64>,
    pub objects: Vec<Object>,
    pub module: Module,
    /// What the installed file says that it fixes. [`None`]: there is none, or it may not be what
    /// is loaded.
    pub fixes: Option<Vec<String>>,
}

/// What a livepatch replaces functions of.
#[derive(Clone, Debug, Serialize)]
pub struct Object {
    pub name: String,
    /// Is the kernel, or the module, there?
    pub loaded: bool,
    pub patched: Option<bool>,
    pub functions: Vec<Function>,
}

/// A function that is replaced.
#[derive(Clone, Debug, Serialize)]
pub struct Function {
    pub name: String,
    pub sympos: u32,
    /// Is it this livepatch's version that tasks run who have been moved? It is not if a later
    /// livepatch has the function, too.
    pub effective: Option<bool>,
}

/// A livepatch's module.
#[derive(Clone, Debug, Serialize)]
pub struct Module {
    pub refcnt: Option<u32>,
    pub taint: Option<String>,
    pub srcversion: Option<String>,
    pub build_id: Option<String>,
    /// The file that is installed under its name, for this kernel.
    pub file: Option<String>,
    /// Is that file what is loaded?
    pub file_matches: Option<bool>,
}

/// A livepatch that is loaded at boot.
#[derive(Clone, Debug, Serialize)]
pub struct InstalledPatch {
    pub name: String,
    pub release: String,
    pub file: String,
    pub loaded: bool,
    /// One that is in use and is loaded after it, and so would replace it.
    pub replaced_by: Option<String>,
    /// A boot that had loaded it did not end well, so it is not loaded any more.
    pub locked_out: bool,
}

impl System {
    /// Looks at everything, and at what holds a transition up if `with_blockers`.
    pub fn read(root: &Root, with_blockers: bool) -> io::Result<Self> {
        let kernel = Kernel::read(root)?;
        let found = sysfs::patches(root)?;
        let records = kmsg::records(root)?;
        let history = History::of(records.as_deref().unwrap_or_default());
        let clock = Clock {
            now: kmsg::now(root)?,
            history: &history,
        };
        let installed = store::installed(root)?;
        let guards = guard::guards(root)?;
        let sysfs = found.as_deref().unwrap_or_default();

        let mut patches = Vec::new();
        for patch in sysfs {
            let file = installed.iter().flatten().find(|it| {
                let release = kernel.release.as_deref();
                release.is_some_and(|release| it.is(release, &patch.name))
            });
            patches.push(Patch::new(root, patch, sysfs, &clock, file)?);
        }
        Ok(Self {
            transition: Transition::read(root, sysfs, &clock, with_blockers)?,
            installed: installed
                .as_deref()
                .map(|it| installed_patches(it, kernel.release.as_deref(), sysfs, &guards)),
            leftover: modules::leftover(root)?,
            can_livepatch: found.is_some(),
            kernel,
            patches,
            history,
        })
    }

    /// The livepatches that are installed for the kernel that runs.
    pub fn installed_here(&self) -> impl Iterator<Item = &InstalledPatch> {
        let release = self.kernel.release.as_deref();
        (self.installed.iter().flatten()).filter(move |it| Some(it.release.as_str()) == release)
    }

    /// Those of them that should be loaded, and are not.
    pub fn missing(&self) -> impl Iterator<Item = &InstalledPatch> {
        self.installed_here()
            .filter(|installed| !installed.loaded && installed.replaced_by.is_none())
    }
}

/// Tells how long ago something was.
struct Clock<'a> {
    now: Option<Duration>,
    history: &'a History,
}

impl Clock<'_> {
    fn ms_since(&self, then: Option<Duration>) -> Option<u64> {
        // Two clocks: what has just been may seem to lie ahead.
        u64::try_from(self.now?.saturating_sub(then?).as_millis()).ok()
    }
}

impl Transition {
    fn read(
        root: &Root,
        patches: &[sysfs::Patch],
        clock: &Clock<'_>,
        with_blockers: bool,
    ) -> io::Result<Option<Self>> {
        let Some(patch) = patches.iter().find(|patch| patch.transition) else {
            return Ok(None);
        };
        let target = patch.target();
        if let Some(account) = account(root)? {
            // Unless that one is over, and another has begun.
            if account.patch == patch.name && account.target == target {
                return Self::told(root, &account, with_blockers).map(Some);
            }
        }
        let tasks = tasks::left(root, target)?;
        let mut looked_at = Vec::new();
        for left in tasks.left.iter().filter(|_| with_blockers) {
            looked_at.extend(left.look(root)?);
        }
        let age_ms = clock.ms_since(clock.history.running_since(&patch.name));
        Ok(Some(Self {
            patch: patch.name.clone(),
            target,
            age_min_ms: match age_ms {
                None => clock.ms_since(clock.history.oldest),
                Some(_) => None,
            },
            age_ms,
            tasks: tasks.count,
            left: (!tasks.hidden).then_some(tasks.left.len()),
            exact: false,
            blockers: with_blockers.then(|| blockers(patch, target, patches, &looked_at)),
        }))
    }

    /// As the kernel has it.
    fn told(root: &Root, account: &Account, with_blockers: bool) -> io::Result<Self> {
        let mut blockers = Vec::new();
        // In a container, the kernel's numbers are those of other tasks.
        let same_numbers = tasks::all_are_shown(root)?;
        for straggler in account.stragglers.iter().filter(|_| with_blockers) {
            let (tid, tgid) = (straggler.tid, straggler.tgid);
            // Idle tasks are not there, and others may have gone.
            let task = match same_numbers {
                true => tasks::Left { tid, tgid }.look(root)?,
                false => None,
            };
            let stack = task.as_ref().and_then(|task| task.stack.as_deref());
            blockers.push(told(straggler, stack));
        }
        Ok(Self {
            patch: account.patch.clone(),
            target: account.target,
            age_ms: Some(account.age_ms),
            age_min_ms: None,
            tasks: account.tasks,
            left: Some(account.left),
            exact: true,
            blockers: with_blockers.then_some(blockers),
        })
    }
}

impl Transition {
    /// For how long it has been running, at least. [`None`]: nobody knows.
    pub fn age(&self) -> Option<Duration> {
        self.age_ms.or(self.age_min_ms).map(Duration::from_millis)
    }
}

impl Patch {
    fn new(
        root: &Root,
        patch: &sysfs::Patch,
        all: &[sysfs::Patch],
        clock: &Clock<'_>,
        file: Option<&Installed>,
    ) -> io::Result<Self> {
        let module = modules::module(root, &patch.name)?.unwrap_or_default();
        let contents = file.and_then(|it| ModuleFile::read(root.path(&it.file)).ok());
        let since = if patch.transition {
            clock.history.running_since(&patch.name)
        } else {
            clock.history.settled_since(&patch.name)
        };
        let mut objects = Vec::new();
        for object in &patch.objects {
            objects.push(Object::new(root, patch, object, all)?);
        }
        let file_matches = contents
            .as_ref()
            .and_then(|file| Some(file.build_id.as_ref()? == module.build_id.as_ref()?));
        Ok(Self {
            name: patch.name.clone(),
            enabled: patch.enabled,
            transition: patch.transition,
            replace: patch.replace,
            stack_order: patch.stack_order,
            forced: clock.history.forced(&patch.name),
            since_ms: clock.ms_since(since),
            objects,
            fixes: contents
                .filter(|_| file_matches == Some(true))
                .map(|file| file.fixes()),
            module: Module {
                file: file.map(|it| it.file.display().to_string()),
                file_matches,
                refcnt: module.refcnt,
                taint: module.taint,
                srcversion: module.srcversion,
                build_id: module.build_id,
            },
        })
    }

    /// How many functions it replaces.
    pub fn functions(&self) -> usize {
        self.objects
            .iter()
            .map(|object| object.functions.len())
            .sum()
    }

    /// Is everything that it changes, and that is there, changed for all tasks? [`None`]: it cannot
    /// be told: tasks were moved by force, a later livepatch has one of its functions, or the kernel
    /// does not tell which objects are patched.
    pub fn in_force(&self) -> Option<bool> {
        let loaded = || self.objects.iter().filter(|object| object.loaded);
        let is_known = |object: &Object| {
            let mut functions = object.functions.iter();
            object.patched.is_some() && functions.all(|it| it.effective == Some(true))
        };
        if !self.enabled || self.transition || loaded().any(|it| it.patched == Some(false)) {
            return Some(false);
        }
        (self.forced != Some(true) && loaded().all(is_known)).then_some(true)
    }
}

impl Object {
    fn new(
        root: &Root,
        patch: &sysfs::Patch,
        object: &sysfs::Object,
        all: &[sysfs::Patch],
    ) -> io::Result<Self> {
        let loaded = object.name == "vmlinux" || modules::is_live(root, &object.name)?;
        let functions = object.functions.iter().map(|function| Function {
            name: function.name.clone(),
            sympos: function.sympos,
            effective: effective(patch, object, function, all),
        });
        Ok(Self {
            name: object.name.clone(),
            loaded,
            patched: object.patched,
            functions: functions.collect(),
        })
    }
}

/// Is `patch` the one whose version of the function counts?
fn effective(
    patch: &sysfs::Patch,
    object: &sysfs::Object,
    function: &sysfs::Function,
    all: &[sysfs::Patch],
) -> Option<bool> {
    if !patch.enabled || object.patched == Some(false) {
        return Some(false);
    }
    let order = patch.stack_order;
    let mut above = all
        .iter()
        .filter(|other| other.name != patch.name && other.enabled)
        .filter(|other| {
            let same = other.objects.iter().filter(|it| it.name == object.name);
            same.flat_map(|it| &it.functions).any(|it| it == function)
        });
    if order.is_none() {
        // Without an order it is known only if there is no other.
        return above.next().is_none().then_some(true);
    }
    Some(!above.any(|other| other.stack_order > order))
}

/// What is installed for the kernel that runs, in the order in which it is loaded. It needs nothing
/// that may be missing while the system boots. [`None`]: it may not be seen.
pub fn installed_here(root: &Root) -> io::Result<Option<Vec<InstalledPatch>>> {
    let release = kernel::release(root)?;
    let patches = sysfs::patches(root)?.unwrap_or_default();
    let guards = guard::guards(root)?;
    Ok(store::installed(root)?.map(|installed| {
        let mut all = installed_patches(&installed, release.as_deref(), &patches, &guards);
        all.retain(|it| Some(&it.release) == release.as_ref());
        all
    }))
}

/// What is installed, and what has become of it on the kernel of `release` with `patches`.
fn installed_patches(
    installed: &[Installed],
    release: Option<&str>,
    patches: &[sysfs::Patch],
    guards: &[Guard],
) -> Vec<InstalledPatch> {
    let here: Vec<&Installed> = installed
        .iter()
        .filter(|it| Some(it.release.as_str()) == release)
        .collect();
    let loaded = |name: &str| patches.iter().find(|patch| patch.name == name);
    // What comes before this one is loaded before it, too, and then replaced. Where the kernel does
    // not tell which ones replace others, as before 6.11, it is taken for one that does: to load an
    // old livepatch above a newer one would take fixes back.
    let last = here.iter().rposition(|it| {
        loaded(&it.name).is_some_and(|patch| patch.enabled && patch.replace != Some(false))
    });
    let (before, last) = match last {
        Some(last) => (&here[..last], Some(&here[last].name)),
        None => (&here[..0], None),
    };
    installed
        .iter()
        .map(|it| InstalledPatch {
            loaded: here.contains(&it) && loaded(&it.name).is_some(),
            replaced_by: last
                .filter(|_| before.contains(&it) && loaded(&it.name).is_none())
                .cloned(),
            locked_out: (guards.iter()).any(|guard| guard.name == it.name && !guard.this_boot),
            name: it.name.clone(),
            release: it.release.clone(),
            file: it.file.display().to_string(),
        })
        .collect()
}
