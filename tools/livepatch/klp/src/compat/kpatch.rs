// SPDX-License-Identifier: GPL-2.0

//! `klp` called as `kpatch`: its verbs, its output and its exit codes, as version 0.9.11 has them.
//!
//! One thing is not printed: the list of functions, which that version adds to `kpatch list`. Those
//! who read the output of `kpatch list` expect two sections, and `klp info` has the functions.
//!
//! As there, a module is found by its file's name, whatever it says of itself, `unload` does not
//! look whether it is a livepatch, and everything is done at the pace of one look each second.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use rustix::io::Errno;

use crate::act::{delete_module, insert_module, Lock};
use crate::files::write_whole;
use crate::module::Opened;
use crate::root::Root;
use crate::source::store::{is_release, Installed};
use crate::source::sysfs::{self, Patch};
use crate::source::{kernel, modules, store, tasks};
use crate::system::installed_here;
use crate::text::{printable, printable_lines};

const VERSION: &str = "0.9.11";
/// Seconds, all of them.
const POST_ENABLE_WAIT: u32 = 15;
const POST_SIGNAL_WAIT: u32 = 60;
const MODULE_REF_WAIT: u32 = 15;
/// How often something is tried that the kernel says is busy, and how many seconds are between.
const MAX_LOAD_ATTEMPTS: u32 = 5;
const RETRY_INTERVAL: u32 = 2;

const USAGE: &str = "\
usage: kpatch <command> [<args>]

Valid commands:
   install [-k|--kernel-version=<kernel version>] <module>
      install patch module to be loaded at boot
   uninstall [-k|--kernel-version=<kernel version>] <module>
      uninstall patch module

   load --all          
      load all installed patch modules into the running kernel
   load <module>       
      load patch module into the running kernel
   unload --all        
      unload all patch modules from the running kernel
   unload <module>     
      unload patch module from the running kernel

   info <module>       
      show information about a patch module

   list                
      list installed patch modules. If the system supports the livepatch
      'stack_order' sysfs attribute, provide the list of currently livepatched
      functions

   signal              
      signal/poke any process stalling the current patch transition. This is
      only useful on systems that have the sysfs livepatch signal interface. On
      other systems, the signaling should be done automatically by the OS
      and this subcommand is a no-op.

   version             
      display the kpatch version
";

/// Why a verb has ended early.
enum Stop {
    /// It was called in a way that it cannot be.
    Usage,
    /// `kpatch: `, this, and exit code 1.
    Die(String),
    /// Exit code 1, and it has said why.
    Failed,
    Io(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

type Result<T = ()> = std::result::Result<T, Stop>;

fn die<T>(text: impl Into<String>) -> Result<T> {
    Err(Stop::Die(text.into()))
}

/// Runs `kpatch ARGS`. Answers its exit code.
pub fn run(root: &Root, args: &[String], out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let mut kpatch = Kpatch { root, out, err };
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let stop = match kpatch.verb(&args) {
        Ok(()) => return 0,
        Err(stop) => stop,
    };
    // Where standard error is closed nobody can be told.
    let _ = match stop {
        Stop::Usage => write!(kpatch.err, "{USAGE}"),
        Stop::Die(text) => writeln!(kpatch.err, "kpatch: {}", printable_lines(&text)),
        Stop::Io(error) => writeln!(kpatch.err, "kpatch: {error}"),
        Stop::Failed => Ok(()),
    };
    1
}

struct Kpatch<'a> {
    root: &'a Root,
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
}

impl Kpatch<'_> {
    fn verb(&mut self, args: &[&str]) -> Result {
        match args {
            ["load", "--all"] => {
                let _lock = self.lock()?;
                self.load_all()
            }
            ["load", module] => {
                let Some(file) = self.find(module)? else {
                    return die(format!("can't find {module}"));
                };
                let _lock = self.lock()?;
                self.load(&file)
            }
            ["unload", "--all"] => self.unload_all(),
            ["unload", module] => {
                let name = base(module).replace('-', "_");
                let name = name.strip_suffix(".ko").unwrap_or(&name);
                self.disable_strictly(name)?;
                let _lock = self.lock()?;
                self.remove_module(name)
            }
            ["install", args @ ..] => self.install(args),
            ["uninstall", args @ ..] => self.uninstall(args),
            ["list"] => self.list(),
            ["info", module] => self.info(module),
            ["signal"] => self.signal(),
            ["version" | "-v" | "--version", ..] => Ok(writeln!(self.out, "{VERSION}")?),
            ["load" | "unload" | "list" | "info" | "signal" | "help" | "-h" | "--help", ..]
            | [] => Err(Stop::Usage),
            [other, ..] => {
                writeln!(self.out, "subcommand {other} not recognized")?;
                Err(Stop::Usage)
            }
        }
    }

    fn release(&self) -> io::Result<String> {
        Ok(kernel::release(self.root)?.unwrap_or_default())
    }

    /// What is there: all folders, as there.
    fn livepatches(&self) -> io::Result<Vec<String>> {
        Ok(self.root.names(sysfs::DIR)?.unwrap_or_default())
    }

    /// A copy of a system's files has no kernel that would do anything.
    fn check_live(&self) -> Result {
        if self.root.is_live() {
            return Ok(());
        }
        die("KLP_ROOT names a copy of a system: nothing can be loaded or unloaded in it")
    }

    /// Waits for whoever else changes something, as long as that may take.
    fn lock(&self) -> Result<Lock> {
        let time = Duration::from_secs((POST_ENABLE_WAIT + POST_SIGNAL_WAIT).into());
        Lock::take_within(self.root, time).map_err(|failure| Stop::Die(failure.text))
    }

    fn warn(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.err, "kpatch: {text}")
    }

    // What is there.

    fn list(&mut self) -> Result {
        writeln!(self.out, "Loaded patch modules:")?;
        for name in self.livepatches()? {
            let flag = |file| self.root.flag(Patch::file(&name, file));
            let state = match (flag("enabled")?, flag("transition")?) {
                (Some(true), Some(true)) => "enabling...",
                (Some(true), _) => "enabled",
                (_, Some(true)) => "disabling...",
                _ => "disabled",
            };
            writeln!(self.out, "{name} [{state}]")?;
        }
        self.show_stalled()?;
        writeln!(self.out, "\nInstalled patch modules:")?;
        let mut installed = store::installed(self.root)?.unwrap_or_default();
        // As the shell has them.
        installed.sort_by(|a, b| a.file.cmp(&b.file));
        for Installed { name, release, .. } in &installed {
            writeln!(self.out, "{} ({})", printable(name), printable(release))?;
        }
        Ok(())
    }

    fn show_stalled(&mut self) -> Result {
        let Some(patch) = sysfs::in_transition(self.root)? else {
            return Ok(());
        };
        let target = patch.target();
        writeln!(self.out, "\nStalled processes:")?;
        for tasks::Left { tid, tgid } in tasks::left(self.root, target)?.left {
            let dir = PathBuf::from(format!("/proc/{tgid}/task/{tid}"));
            let text = |file| {
                self.root
                    .text(dir.join(file))
                    .map(Option::unwrap_or_default)
            };
            // Its owner chooses the name; what confuses a terminal is not what anybody looks for.
            let (comm, stack) = (printable(&text("comm")?), text("stack")?);
            writeln!(self.out, "{tid} {comm}\nstack:\n{stack}")?;
        }
        Ok(())
    }

    fn info(&mut self, module: &str) -> Result {
        let Some(file) = self.find(module)? else {
            return die(format!("can't find {module}"));
        };
        writeln!(self.out, "Patch information for {module}:")?;
        // Its output is what people know, so it makes it.
        let modinfo = Command::new("modinfo").arg(&file).output()?;
        self.out.write_all(&modinfo.stdout)?;
        self.err.write_all(&modinfo.stderr)?;
        if !modinfo.status.success() {
            return die(format!("failed to get info for module {module}"));
        }
        Ok(())
    }

    /// The kernel does this by itself since 5.1, and has no file for it.
    fn signal(&mut self) -> Result {
        let Some(patch) = sysfs::in_transition(self.root)? else {
            return Ok(());
        };
        let file = Patch::file(&patch.name, "signal");
        if self.root.exists(&file) {
            self.check_live()?;
            writeln!(self.out, "signaling stalled process(es):")?;
            return Ok(fs::write(self.root.path(file), "1")?);
        }
        self.warn("Livepatch process signaling is performed automatically on your system.")?;
        self.warn("Skipping manual process signaling.")?;
        Ok(())
    }

    /// A file, or what is installed for this kernel under this name.
    fn find(&self, module: &str) -> Result<Option<PathBuf>> {
        let dir = Path::new(store::DIR).join(self.release()?);
        let installed = |file: &str| self.root.path(dir.join(file));
        if module.contains(".ko") {
            let files = [PathBuf::from(module), installed(module)];
            return Ok(files.into_iter().find(|file| file.is_file()));
        }
        let names = self.root.names(&dir)?.unwrap_or_default();
        let found = names.iter().find(|file| store::module_name(file) == module);
        Ok(found.map(|file| installed(file)))
    }

    // Loading.

    /// In the order of their numbers, other than there: of those that replace each other the latest
    /// has to come last, and when it is in use the others stay away.
    fn load_all(&mut self) -> Result {
        let Some(installed) = installed_here(self.root)? else {
            return die(format!("cannot read {}", store::DIR));
        };
        for installed in installed.iter().filter(|it| it.replaced_by.is_none()) {
            self.load(&self.root.path(&installed.file))?;
        }
        Ok(())
    }

    fn load(&mut self, file: &Path) -> Result {
        let opened = match Opened::open(file) {
            Ok(opened) => opened,
            Err(error) => return die(error.to_string()),
        };
        let name = opened.module.name.clone();
        let shown = printable(&file.to_string_lossy());
        match self.root.flag(Patch::file(&name, "enabled"))? {
            Some(false) => {
                writeln!(self.out, "module already loaded, re-enabling")?;
                return self.enable_again(&name);
            }
            Some(true) => writeln!(self.out, "module named {name} already loaded and enabled")?,
            None => {
                // It may be there without its livepatch.
                self.check_live()?;
                self.wait_for_module(&name)?;
                let _ = delete_module(&name);
                writeln!(self.out, "loading patch module: {shown}")?;
                self.insert(&opened)?;
            }
        }
        if !self.wait(&name)? {
            self.show_stalled()?;
            writeln!(
                self.out,
                "module {name} did not complete its transition, unloading..."
            )?;
            self.unload(&name)?;
            return die(format!(
                "error: failed to load module {name} (transition stalled)"
            ));
        }
        Ok(())
    }

    fn enable_again(&mut self, name: &str) -> Result {
        self.check_live()?;
        if self.write_enabled(name, "1").is_err() {
            return die(format!("failed to re-enable module {name}"));
        }
        if self.wait(name)? {
            return Ok(());
        }
        self.show_stalled()?;
        writeln!(
            self.out,
            "module {name} did not complete its transition, disabling..."
        )?;
        if self.write_enabled(name, "0").is_err() {
            return die(format!("failed to disable module {name}"));
        }
        self.wait(name)?;
        die(format!(
            "error: failed to re-enable module {name} (transition stalled), patch disabled"
        ))
    }

    fn insert(&mut self, opened: &Opened) -> Result {
        let shown = printable(&opened.module.path.to_string_lossy());
        let mut attempt = 0;
        loop {
            let Err(error) = insert_module(self.root, opened) else {
                return Ok(());
            };
            writeln!(
                self.err,
                "insmod: ERROR: could not insert module {shown}: {}",
                insmod_words(&error)
            )?;
            attempt += 1;
            if Errno::from_io_error(&error) != Some(Errno::BUSY) || attempt == MAX_LOAD_ATTEMPTS {
                return die(format!("failed to load module {shown}"));
            }
            self.warn("retrying...")?;
            seconds(RETRY_INTERVAL);
        }
    }

    // Unloading.

    /// As part of a load, which has the lock.
    fn unload(&mut self, name: &str) -> Result {
        self.disable_strictly(name)?;
        self.remove_module(name)
    }

    fn disable_strictly(&mut self, name: &str) -> Result {
        if !self.disable(name)? {
            self.warn(&format!("failed to disable module {name}"))?;
            return Err(Stop::Failed);
        }
        if !self.wait(name)? {
            return die(format!("transition stalled for {name}"));
        }
        Ok(())
    }

    fn unload_all(&mut self) -> Result {
        // Some kernels want the latest one first: as long as one goes, others may follow.
        loop {
            let mut gone = 0;
            for name in self.livepatches()? {
                if !self.disable(&name)? {
                    continue;
                }
                if !self.wait(&name)? {
                    self.warn(&format!("transition stalled for {name}"))?;
                    continue;
                }
                let lock = self.lock()?;
                self.remove_module(&name)?;
                drop(lock);
                // One that was forced stays, for ever.
                gone += usize::from(!sysfs::is_there(self.root, &name));
            }
            if gone == 0 {
                break;
            }
        }
        let left = self.livepatches()?;
        for name in &left {
            self.warn(&format!("failed to unload module {name}"))?;
        }
        if left.is_empty() {
            Ok(())
        } else {
            Err(Stop::Failed)
        }
    }

    /// Did it work, as far as it can be told now?
    fn disable(&mut self, name: &str) -> Result<bool> {
        let Some(enabled) = self.root.flag(Patch::file(name, "enabled"))? else {
            if self.root.exists(format!("/sys/module/{name}")) {
                return Ok(true);
            }
            self.warn(&format!("patch module {name} is not loaded"))?;
            return Ok(false);
        };
        if !enabled {
            return Ok(true);
        }
        self.check_live()?;
        writeln!(self.out, "disabling patch module: {name}")?;
        let mut attempt = 0;
        while let Err(error) = self.write_enabled(name, "0") {
            writeln!(self.err, "sh: echo: write error: {}", words(&error))?;
            attempt += 1;
            if Errno::from_io_error(&error) != Some(Errno::BUSY) || attempt == MAX_LOAD_ATTEMPTS {
                return Ok(false);
            }
            self.warn("retrying...")?;
            seconds(RETRY_INTERVAL);
        }
        Ok(true)
    }

    fn remove_module(&mut self, name: &str) -> Result {
        self.check_live()?;
        self.wait_for_module(name)?;
        writeln!(self.out, "unloading patch module: {name}")?;
        // One that was forced cannot go, and that is no error.
        let _ = delete_module(name);
        Ok(())
    }

    fn write_enabled(&self, name: &str, value: &str) -> io::Result<()> {
        fs::write(self.root.path(Patch::file(name, "enabled")), value)
    }

    // Waiting.

    fn in_transition(&self, name: &str) -> io::Result<bool> {
        Ok(self.root.flag(Patch::file(name, "transition"))? == Some(true))
    }

    /// Is the transition over?
    fn wait(&mut self, name: &str) -> Result<bool> {
        if !self.in_transition(name)? {
            return Ok(true);
        }
        if self.wait_for(name, POST_ENABLE_WAIT)? {
            return Ok(true);
        }
        writeln!(self.out, "patch transition has stalled!")?;
        self.signal()?;
        self.wait_for(name, POST_SIGNAL_WAIT)
    }

    fn wait_for(&mut self, name: &str, most: u32) -> Result<bool> {
        writeln!(
            self.out,
            "waiting (up to {most} seconds) for patch transition to complete..."
        )?;
        for second in 0..most {
            if !self.in_transition(name)? {
                writeln!(self.out, "transition complete ({second} seconds)")?;
                return Ok(true);
            }
            seconds(1);
        }
        Ok(false)
    }

    /// Waits until nobody uses the module.
    fn wait_for_module(&mut self, name: &str) -> Result {
        let used = |kpatch: &Self| -> io::Result<bool> {
            let module = modules::module(kpatch.root, name)?;
            Ok(module
                .and_then(|module| module.refcnt)
                .is_some_and(|users| users > 0))
        };
        if !used(self)? {
            return Ok(());
        }
        writeln!(
            self.out,
            "waiting (up to {MODULE_REF_WAIT} seconds) for module refcount..."
        )?;
        for _ in 0..MODULE_REF_WAIT {
            if !used(self)? {
                return Ok(());
            }
            seconds(1);
        }
        die(format!("failed to unload module {name} (refcnt)"))
    }

    // What is loaded at boot.

    fn install(&mut self, args: &[&str]) -> Result {
        let (release, module) = self.release_and_module(args)?;
        let path = Path::new(&module);
        if !path.exists() {
            return die(format!("{module} doesn't exist"));
        }
        if !module.ends_with(".ko") {
            return die(format!("{module} isn't a .ko file"));
        }
        let Ok(opened) = Opened::open(path) else {
            return die("modinfo failed");
        };
        let Some(built_for) = opened.module.release() else {
            return die("modinfo failed");
        };
        if built_for != release {
            return die(format!(
                "invalid module version {built_for} for kernel {release}"
            ));
        }
        let dir = self.root.path(Path::new(store::DIR).join(&release));
        let to = dir.join(base(&module));
        let _lock = self.lock()?;
        if to.exists() {
            return die(format!("{module} is already installed"));
        }
        writeln!(self.out, "installing {module} ({release})")?;
        if fs::create_dir_all(&dir).is_err() {
            return die("failed to create install directory");
        }
        // What was looked at, and whole or not at all.
        if write_whole(&to, &opened.bytes).is_err() {
            return die(format!("failed to install module {module}"));
        }
        if !self.root.is_live() {
            return Ok(());
        }
        let enabled = Command::new("systemctl")
            .args(["enable", "kpatch.service"])
            .status();
        match enabled {
            Ok(status) if !status.success() => Err(Stop::Failed),
            // Where there is no systemd somebody else loads what is installed.
            _ => Ok(()),
        }
    }

    fn uninstall(&mut self, args: &[&str]) -> Result {
        let (release, module) = self.release_and_module(args)?;
        if module.contains('/') {
            return die("please supply patch module name without path");
        }
        if !is_release(&release) {
            return die(format!("{module} is not installed for kernel {release}"));
        }
        let dir = Path::new(store::DIR).join(&release);
        let name = store::module_name(&module);
        let _lock = self.lock()?;
        let names = self.root.names(&dir)?.unwrap_or_default();
        let found = names
            .iter()
            .find(|file| **file == module)
            .or_else(|| names.iter().find(|file| store::module_name(file) == name));
        let Some(file) = found else {
            return die(format!("{module} is not installed for kernel {release}"));
        };
        writeln!(self.out, "uninstalling {module} ({release})")?;
        let dir = self.root.path(dir);
        if fs::remove_file(dir.join(file)).is_err() {
            return die(format!("failed to uninstall module {module}"));
        }
        // Those that hold something stay.
        if fs::remove_dir(&dir).is_ok() {
            let _ = fs::remove_dir(self.root.path(store::DIR));
        }
        Ok(())
    }

    fn getopt<T>(&mut self, text: &str) -> Result<T> {
        writeln!(self.err, "getopt: {text}")?;
        die("getopt failed")
    }

    /// `[-k RELEASE] MODULE`
    fn release_and_module(&mut self, args: &[&str]) -> Result<(String, String)> {
        let mut release = self.release()?;
        let mut module = None;
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let given = arg
                .strip_prefix("--kernel-version=")
                .or_else(|| arg.strip_prefix("-k").filter(|given| !given.is_empty()));
            match (*arg, given) {
                (_, Some(given)) => release = given.to_owned(),
                ("-k" | "--kernel-version", None) => match args.next() {
                    Some(given) => release = (*given).to_owned(),
                    None => {
                        return self.getopt(&match arg.strip_prefix("--") {
                            Some(long) => format!("option '--{long}' requires an argument"),
                            None => "option requires an argument -- 'k'".to_owned(),
                        })
                    }
                },
                ("--", None) => {}
                (arg, None) if arg.starts_with("--") => {
                    return self.getopt(&format!("unrecognized option '{arg}'"));
                }
                (arg, None) if arg.len() > 1 && arg.starts_with('-') => {
                    return self.getopt(&format!(
                        "invalid option -- '{}'",
                        arg.chars().nth(1).unwrap_or_default()
                    ));
                }
                (arg, None) => module = module.or(Some(arg.to_owned())),
            }
        }
        match module {
            Some(module) => Ok((release, module)),
            None => die("no module file specified"),
        }
    }
}

fn base(path: &str) -> String {
    Path::new(path)
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// An error of loading in the words of insmod.
fn insmod_words(error: &io::Error) -> String {
    match Errno::from_io_error(error) {
        Some(Errno::NOEXEC) => "Invalid module format".to_owned(),
        Some(Errno::NOENT) => "Unknown symbol in module".to_owned(),
        Some(Errno::SRCH) => "Module has wrong symbol version".to_owned(),
        Some(Errno::INVAL) => "Invalid parameters".to_owned(),
        _ => words(error),
    }
}

/// An error in the words of the C library, without Rust's number.
fn words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

fn seconds(number: u32) {
    sleep(Duration::from_secs(number.into()));
}
