// SPDX-License-Identifier: GPL-2.0

//! Loads a livepatch into a virtual machine that runs the same kernel, before it is loaded here.
//!
//! The machine has this program as its init and nothing else: what happens in there is in
//! [`guest`]. It speaks by the kernel's log, so that what it says and what the kernel says are in
//! order.

pub mod guest;
mod initramfs;

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use object::elf::PT_INTERP;
use object::read::elf::{ElfFile64, ProgramHeader as _};
use object::Endianness;
use rustix::fs::{memfd_create, MemfdFlags};
use rustix::process::{set_parent_process_death_signal, Signal};

use crate::failure::{Exit, Failure};
use crate::module::listing::Contents;
use crate::module::Opened;
use crate::root::Root;
use crate::source::kernel;
use crate::source::store::{is_path, module_name};
use initramfs::Initramfs;

/// What to rehearse, and how.
#[derive(Clone, Debug)]
pub struct Rehearsal {
    /// The livepatch.
    pub file: PathBuf,
    /// The image that is booted; that of the installed kernel if none is given.
    pub kernel: Option<PathBuf>,
    /// Modules that are loaded before, in order: files, or names of this kernel's.
    pub modules: Vec<String>,
    /// A program that is run while the livepatch is in force. It has to end with 0.
    pub test: Option<PathBuf>,
    /// For how long the machine may run.
    pub timeout: Duration,
    /// How long a transition may take in there.
    pub transition: Duration,
    pub memory_mib: u32,
    pub cpus: u32,
    /// Use the processor's virtualization.
    pub kvm: bool,
    /// The emulator; the one for this machine if none is given.
    pub qemu: Option<PathBuf>,
}

/// The prefix of all that the machine says.
const PREFIX: &str = "klp-rehearse: ";

/// How a machine of this architecture is emulated.
struct Machine {
    qemu: &'static str,
    machine: &'static str,
    /// The processor, where it is not this machine's.
    cpu: &'static str,
    console: &'static str,
}

fn machine() -> Option<Machine> {
    let (qemu, machine, cpu, console) = match std::env::consts::ARCH {
        "x86_64" => ("qemu-system-x86_64", "q35", "max", "ttyS0"),
        "aarch64" => (
            "qemu-system-aarch64",
            "virt,gic-version=max",
            // As the architecture has it, it takes most of an emulator's time.
            "max,pauth-impdef=on",
            "ttyAMA0",
        ),
        "s390x" => ("qemu-system-s390x", "s390-ccw-virtio", "max", "ttyS0"),
        "powerpc64" => (
            "qemu-system-ppc64",
            "pseries,cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken",
            "power9",
            "hvc0",
        ),
        "loongarch64" => ("qemu-system-loongarch64", "virt", "la464", "ttyS0"),
        _ => return None,
    };
    Some(Machine {
        qemu,
        machine,
        cpu,
        console,
    })
}

/// Rehearses. `told` gets each line that the machine says, as it comes.
pub fn rehearse(root: &Root, how: &Rehearsal, told: &mut dyn FnMut(&str)) -> Result<(), Failure> {
    let machine = machine().ok_or_else(|| {
        let arch = std::env::consts::ARCH;
        Failure::new(Exit::Failed, format!("no machine is known for {arch}"))
    })?;
    let opened = Opened::open(&how.file)?;
    let release = match opened.module.release() {
        Some(release) => release.to_owned(),
        None => kernel::release(root)?.unwrap_or_default(),
    };
    let image = match &how.kernel {
        Some(image) => image.clone(),
        None => installed_kernel(root, &release)?,
    };
    let mut initramfs = Initramfs::new();
    initramfs.program("init", &own_program()?);
    initramfs.file("klp/patch.ko", &opened.bytes);
    initramfs.file(
        "klp/transition-ms",
        how.transition.as_millis().to_string().as_bytes(),
    );
    for (number, bytes) in modules(root, how, &opened, &release, told)?
        .iter()
        .enumerate()
    {
        initramfs.file(&format!("klp/modules/{number:03}.ko"), bytes);
    }
    if let Some(test) = &how.test {
        add_test(&mut initramfs, test)?;
    }

    // It has no name, so that it goes with those who have it open.
    let mut archive =
        File::from(memfd_create("initramfs", MemfdFlags::empty()).map_err(io::Error::from)?);
    archive.write_all(&initramfs.archive()?)?;
    let archive_path = format!("/proc/self/fd/{}", archive.as_raw_fd());
    told(&format!("boots {}", image.display()));
    let qemu = how.qemu.clone().unwrap_or_else(|| machine.qemu.into());
    let mut command = Command::new(&qemu);
    command
        .args(["-machine", machine.machine])
        .args(["-accel", if how.kvm { "kvm" } else { "tcg" }])
        .args(["-cpu", if how.kvm { "host" } else { machine.cpu }])
        .args(["-nodefaults", "-no-user-config", "-no-reboot"])
        .args(["-display", "none", "-serial", "stdio"])
        .args(["-m", &how.memory_mib.to_string()])
        .args(["-smp", &how.cpus.to_string()])
        .arg("-kernel")
        .arg(&image)
        .arg("-initrd")
        .arg(&archive_path)
        .arg("-append")
        .arg(format!(
            "console={} rdinit=/init panic=-1 loglevel=7 printk.devkmsg=on -- {}",
            machine.console,
            guest::WORD
        ))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // SAFETY: Between fork and exec, only a system call is made, which takes no lock and no memory.
    unsafe {
        command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
    }
    let child = command.spawn().map_err(|error| {
        Failure::new(
            Exit::Failed,
            format!("cannot run {}: {error}", qemu.display()),
        )
        .with_remedy("install QEMU for this machine, or name it by --qemu")
    })?;
    // The machine has it open by itself.
    let end = listen(Running(child), how.timeout, told);
    drop(archive);
    end
}

/// The machine does not outlive whoever has started it: see also what the kernel is asked for above.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended, and that is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// So many lines of the console are shown when the machine ends without a word.
const LAST_LINES: usize = 20;

/// Passes on what the machine says, to its end.
fn listen(
    mut machine: Running,
    timeout: Duration,
    told: &mut dyn FnMut(&str),
) -> Result<(), Failure> {
    let deadline = Instant::now() + timeout;
    let (sender, lines) = mpsc::channel();
    let readers = [
        machine
            .0
            .stdout
            .take()
            .map(|it| Box::new(it) as Box<dyn std::io::Read + Send>),
        machine.0.stderr.take().map(|it| Box::new(it) as _),
    ];
    for reader in readers.into_iter().flatten() {
        let sender = sender.clone();
        thread::spawn(move || {
            for line in BufReader::new(reader).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
    }
    drop(sender);

    let mut last = VecDeque::new();
    let verdict = loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match lines.recv_timeout(left) {
            Ok(line) => match line.split_once(PREFIX) {
                Some((_, text)) => match text.strip_prefix("END ") {
                    Some(end) => break Some(end.to_owned()),
                    None => told(text),
                },
                None => {
                    if last.len() == LAST_LINES {
                        last.pop_front();
                    }
                    last.push_back(line);
                }
            },
            Err(RecvTimeoutError::Timeout) => {
                return Err(ended("the machine has not come to its end in time", &last)
                    .with_remedy("a longer --timeout may help, and so may --kvm"));
            }
            // It is switched off.
            Err(RecvTimeoutError::Disconnected) => break None,
        }
    };
    match verdict.as_deref() {
        Some("well") => Ok(()),
        Some("refused") => Err(Failure::new(
            Exit::Refused,
            "this kernel does not take the livepatch",
        )),
        Some("stalled") => Err(Failure::new(
            Exit::StalledLeft,
            "the transition has not ended",
        )),
        Some(_) => Err(Failure::new(Exit::Failed, "the rehearsal has failed")),
        None => Err(ended("the machine has stopped before its end", &last)),
    }
}

fn ended(why: &str, last: &VecDeque<String>) -> Failure {
    let lines: String = last.iter().map(|line| format!("\n  | {line}")).collect();
    Failure::new(Exit::Failed, format!("{why}; it said last:{lines}"))
}

fn installed_kernel(root: &Root, release: &str) -> Result<PathBuf, Failure> {
    let places = [
        format!("/boot/vmlinuz-{release}"),
        format!("/boot/vmlinux-{release}"),
        format!("/boot/image-{release}"),
        format!("/lib/modules/{release}/vmlinuz"),
    ];
    let mut places = places.iter().map(|place| root.path(place));
    places.find(|place| place.exists()).ok_or_else(|| {
        Failure::new(
            Exit::Failed,
            format!("the image of the kernel {release} is not to be found"),
        )
        .with_remedy("name it by --kernel")
    })
}

/// This program, which is to run where there are no libraries.
fn own_program() -> Result<Vec<u8>, Failure> {
    let bytes = fs::read("/proc/self/exe")?;
    if needs_libraries(&bytes) {
        return Err(Failure::new(
            Exit::Failed,
            "this klp needs libraries, and there are none in the machine",
        )
        .with_remedy("make klp builds one that needs none"));
    }
    Ok(bytes)
}

/// Does a program have to be put together by another one?
fn needs_libraries(bytes: &[u8]) -> bool {
    let Ok(file) = ElfFile64::<Endianness>::parse(bytes) else {
        return false;
    };
    let mut headers = file.elf_program_headers().iter();
    headers.any(|header| header.p_type(file.endian()) == PT_INTERP)
}

/// The modules that are loaded before the livepatch: those that were asked for, and those that it is
/// for.
fn modules(
    root: &Root,
    how: &Rehearsal,
    opened: &Opened,
    release: &str,
    told: &mut dyn FnMut(&str),
) -> Result<Vec<Vec<u8>>, Failure> {
    let dir = PathBuf::from(format!("/lib/modules/{release}"));
    let dependencies = root.text(dir.join("modules.dep"))?.unwrap_or_default();
    let mut files: Vec<PathBuf> = Vec::new();
    for module in &how.modules {
        if is_path(module) {
            files.push(module.into());
            continue;
        }
        let found = needed(&dependencies, &module_name(module)).ok_or_else(|| {
            Failure::new(
                Exit::Failed,
                format!("{release} has no module {module}, or it is built in"),
            )
        })?;
        files.extend(found.iter().map(|file| root.path(dir.join(file))));
    }
    let listing = Contents::parse(&opened.bytes)
        .ok()
        .and_then(|it| it.listing);
    if listing.is_none() {
        told(
            "the file does not tell which modules it is for: those that --module names are loaded",
        );
    }
    for object in listing.iter().flat_map(|listing| &listing.objects) {
        let is_there = files.iter().any(|file| module_name(file) == object.name);
        if object.name == "vmlinux" || is_there {
            continue;
        }
        match needed(&dependencies, &object.name) {
            Some(found) => files.extend(found.iter().map(|file| root.path(dir.join(file)))),
            None => told(&format!(
                "{} is not a module of {release}: what the livepatch has for it is not rehearsed",
                object.name
            )),
        }
    }
    let mut seen = Vec::new();
    let mut modules = Vec::new();
    for file in files {
        let name = module_name(&file);
        if !seen.contains(&name) {
            modules.push(Opened::open(file)?.bytes);
            seen.push(name);
        }
    }
    Ok(modules)
}

/// The files of a module and of all that it needs, in the order in which they are loaded.
fn needed<'a>(dependencies: &'a str, name: &str) -> Option<Vec<&'a str>> {
    let (file, needs) = dependencies
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(file, _)| module_name(Path::new(file)) == name)?;
    let mut files: Vec<&str> = needs.split_whitespace().collect();
    files.reverse();
    files.push(file);
    Some(files)
}

fn add_test(initramfs: &mut Initramfs, test: &Path) -> Result<(), Failure> {
    let bytes = fs::read(test).map_err(|error| {
        Failure::new(
            Exit::Failed,
            format!("cannot read {}: {error}", test.display()),
        )
    })?;
    if needs_libraries(&bytes) {
        return Err(Failure::new(
            Exit::Failed,
            format!(
                "{} needs libraries, and there are none in the machine",
                test.display()
            ),
        )
        .with_remedy("link it statically, or write a script for /bin/sh"));
    }
    if bytes.starts_with(b"#!") {
        let busybox = ["/bin/busybox", "/usr/bin/busybox"]
            .iter()
            .filter_map(|path| fs::read(path).ok())
            .find(|bytes| !needs_libraries(bytes));
        let busybox = busybox.ok_or_else(|| {
            Failure::new(Exit::Failed, "a script needs a busybox without libraries")
                .with_remedy("it is in the package busybox-static")
        })?;
        initramfs.program("bin/busybox", &busybox);
        initramfs.link("bin/sh", "busybox");
    }
    initramfs.program("klp/test", &bytes);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_module_needs_is_loaded_first() {
        let text = "kernel/lib/a.ko.xz:\n\
                    kernel/fs/my-fs.ko.xz: kernel/lib/b.ko.xz kernel/lib/a.ko.xz\n";
        assert_eq!(
            needed(text, "my_fs").unwrap(),
            [
                "kernel/lib/a.ko.xz",
                "kernel/lib/b.ko.xz",
                "kernel/fs/my-fs.ko.xz"
            ]
        );
        assert_eq!(needed(text, "fs"), None);
    }

    fn heard(script: &str) -> (Result<(), Failure>, Vec<String>) {
        let child = Command::new("sh")
            .args(["-c", script])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = Vec::new();
        let timeout = Duration::from_millis(300);
        let end = listen(Running(child), timeout, &mut |line| {
            lines.push(line.to_owned())
        });
        (end, lines)
    }

    #[test]
    fn the_machine_has_the_last_word() {
        let (end, lines) =
            heard("echo boot; echo '[ 1.0] klp-rehearse: a'; echo '[ 2.0] klp-rehearse: END well'");
        assert!(end.is_ok());
        assert_eq!(lines, ["a"]);
        let (end, _) = heard("echo 'klp-rehearse: END refused'");
        assert_eq!(end.unwrap_err().exit, Exit::Refused);
        let (end, _) = heard("echo 'klp-rehearse: END stalled'");
        assert_eq!(end.unwrap_err().exit, Exit::StalledLeft);
    }

    #[test]
    fn a_machine_that_stops_or_hangs_is_told() {
        let (end, _) = heard("echo Kernel panic; echo no firmware >&2");
        let failure = end.unwrap_err();
        assert!(failure.text.contains("before its end"), "{failure}");
        assert!(failure.text.contains("\n  | Kernel panic"), "{failure}");
        assert!(failure.text.contains("\n  | no firmware"), "{failure}");
        let (end, _) = heard("echo on; exec sleep 100");
        let failure = end.unwrap_err();
        assert!(failure.text.contains("in time"), "{failure}");
    }
}
