// SPDX-License-Identifier: GPL-2.0

//! Systems that are only files, for `--root`.

// Each test program uses some of it.
#![allow(dead_code)]

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

pub const RELEASE: &str = "7.3.4-test";

pub struct Tree {
    dir: TempDir,
}

/// A task, as `/proc` shows it.
pub struct Task<'a> {
    pub tid: i32,
    pub tgid: i32,
    pub comm: &'a str,
    pub state: char,
    pub flags: u32,
    pub cpu: i32,
    pub patch_state: &'a str,
    pub stack: &'a str,
}

pub const ASLEEP: Task<'static> = Task {
    tid: 1,
    tgid: 1,
    comm: "init",
    state: 'S',
    flags: 0,
    cpu: 0,
    patch_state: "1",
    stack: "[<0>] do_epoll_wait+0x10/0x20\n",
};

impl Tree {
    /// A kernel that can livepatch, and has the core in Rust.
    pub fn new() -> Self {
        let tree = Self::without_livepatch();
        fs::create_dir_all(tree.path("sys/kernel/livepatch")).unwrap();
        tree
    }

    pub fn without_livepatch() -> Self {
        let tree = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        tree.file("proc/sys/kernel/osrelease", RELEASE);
        tree.file("proc/uptime", "100.50 150.00");
        tree.file(
            &format!("boot/config-{RELEASE}"),
            "CONFIG_LIVEPATCH=y\nCONFIG_LIVEPATCH_RUST=y\nCONFIG_MODULE_SIG=y\n",
        );
        tree.file(
            "sys/kernel/security/lockdown",
            "[none] integrity confidentiality",
        );
        tree.file("sys/module/module/parameters/sig_enforce", "N");
        tree
    }

    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    pub fn file(&self, path: &str, text: &str) -> &Self {
        self.bytes(path, format!("{text}\n").as_bytes())
    }

    pub fn bytes(&self, path: &str, bytes: &[u8]) -> &Self {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        self
    }

    /// A livepatch; objects with what is in `patched`, and their functions.
    pub fn patch(
        &self,
        name: &str,
        enabled: bool,
        transition: bool,
        order: u32,
        objects: &[(&str, bool, &[&str])],
    ) -> &Self {
        let dir = format!("sys/kernel/livepatch/{name}");
        self.file(&format!("{dir}/enabled"), &u8::from(enabled).to_string());
        self.file(
            &format!("{dir}/transition"),
            &u8::from(transition).to_string(),
        );
        self.file(&format!("{dir}/replace"), "0");
        self.file(&format!("{dir}/stack_order"), &order.to_string());
        for (object, patched, functions) in objects {
            self.file(
                &format!("{dir}/{object}/patched"),
                &u8::from(*patched).to_string(),
            );
            for function in *functions {
                fs::create_dir_all(self.path(&format!("{dir}/{object}/{function}"))).unwrap();
            }
        }
        self.module(name, "OK", u32::from(enabled))
    }

    /// A module that is loaded.
    pub fn module(&self, name: &str, taint: &str, refcnt: u32) -> &Self {
        let dir = format!("sys/module/{name}");
        self.file(&format!("{dir}/initstate"), "live");
        self.file(&format!("{dir}/taint"), taint);
        self.file(&format!("{dir}/refcnt"), &refcnt.to_string())
    }

    /// A file that is installed for this kernel.
    pub fn installed(&self, name: &str, fields: &[&str]) -> &Self {
        self.installed_build(name, fields, &[])
    }

    /// As [`Self::installed`], and what is loaded under its name is the same.
    pub fn installed_and_loaded(&self, name: &str, fields: &[&str]) -> &Self {
        let note = note(7);
        self.installed_build(name, fields, &note).bytes(
            &format!("sys/module/{name}/notes/.note.gnu.build-id"),
            &note,
        )
    }

    fn installed_build(&self, name: &str, fields: &[&str], note: &[u8]) -> &Self {
        let vermagic = format!("vermagic={RELEASE} SMP");
        let name_field = format!("name={name}");
        let all = ["livepatch=Y", vermagic.as_str(), name_field.as_str()];
        self.bytes(
            &format!("var/lib/kpatch/{RELEASE}/{name}.ko"),
            &module_with_note(&[&all, fields].concat(), note),
        )
    }

    pub fn task(&self, task: &Task) -> &Self {
        let Task {
            tid,
            tgid,
            comm,
            state,
            flags,
            cpu,
            patch_state,
            stack,
        } = task;
        let dir = format!("proc/{tgid}/task/{tid}");
        let zeros = |count| vec!["0"; count].join(" ");
        // What is between state, flags and processor, and after that, is of no interest.
        let stat = format!(
            "{tid} ({comm}) {state} 0 0 0 0 -1 {flags} {} {cpu} {}",
            zeros(29),
            zeros(13)
        );
        self.file(&format!("{dir}/stat"), &stat);
        self.file(&format!("{dir}/comm"), comm);
        self.file(&format!("{dir}/patch_state"), patch_state);
        self.bytes(&format!("{dir}/stack"), stack.as_bytes())
    }

    /// The kernel's log: seconds, and what it said then.
    pub fn log(&self, messages: &[(u32, &str)]) -> &Self {
        let lines = messages.iter().enumerate().map(|(number, (second, text))| {
            format!("6,{number},{second}000000,-;livepatch: {text}\n")
        });
        self.bytes("dev/kmsg", lines.collect::<String>().as_bytes())
    }

    /// A system with one livepatch that is being enabled, and who it waits for.
    pub fn in_transition() -> Self {
        let tree = Self::new();
        tree.patch(
            "livepatch_base",
            true,
            false,
            1,
            &[("vmlinux", true, &["tcp_recvmsg,1"])],
        )
        .patch(
            "livepatch_cve",
            true,
            true,
            2,
            &[
                ("ext4", false, &["ext4_readdir,1"]),
                ("vmlinux", true, &["tcp_recvmsg,1"]),
            ],
        )
        .log(&[
            (10, "'livepatch_base': starting patching transition"),
            (11, "'livepatch_base': patching complete"),
            (82, "'livepatch_cve': starting patching transition"),
        ])
        .task(&ASLEEP)
        .task(&Task {
            tid: 1235,
            tgid: 1234,
            comm: "epoll-srv",
            patch_state: "0",
            stack: "[<0>] wait_woken+0x1/0x2\n[<0>] tcp_recvmsg+0x7a/0x150\n",
            ..ASLEEP
        })
        .task(&Task {
            tid: 57,
            tgid: 57,
            comm: "kworker/3:1",
            flags: 0x0020_0000,
            state: 'R',
            cpu: 3,
            patch_state: "0",
            stack: "",
        })
        .task(&Task {
            tid: 70,
            tgid: 70,
            comm: "bad) R\n\x1b[2J",
            patch_state: "0",
            ..ASLEEP
        });
        tree
    }
}

/// A module file.
pub fn module(modinfo: &[&str]) -> Vec<u8> {
    module_with_note(modinfo, &[])
}

/// A module file with a note, its build ID.
pub fn module_with_note(modinfo: &[&str], note: &[u8]) -> Vec<u8> {
    use object::write::Object;
    use object::{Architecture, BinaryFormat, Endianness, SectionKind};

    let mut elf = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
    let section = elf.add_section(vec![], b".modinfo".to_vec(), SectionKind::ReadOnlyData);
    let fields: String = modinfo.iter().map(|field| format!("{field}\0")).collect();
    elf.append_section_data(section, fields.as_bytes(), 1);
    let section = elf.add_section(vec![], b".note.gnu.build-id".to_vec(), SectionKind::Note);
    elf.append_section_data(section, note, 4);
    elf.write().unwrap()
}

/// The note that is a build ID, of twenty times this byte.
pub fn note(byte: u8) -> Vec<u8> {
    let words = [4_u32, 20, 3].map(u32::to_ne_bytes);
    [words.concat().as_slice(), b"GNU\0", &[byte; 20]].concat()
}

/// What the program says: exit code, standard output, standard error.
pub fn klp(tree: &Tree, args: &[&str]) -> (i32, String, String) {
    let mut command = assert_cmd::Command::cargo_bin("klp").unwrap();
    command.arg("--root").arg(tree.root()).args(args);
    said(&mut command)
}

/// The same under another name, by a link.
pub fn called(tree: &Tree, name: &str, args: &[&str]) -> (i32, String, String) {
    let program = tree.path(name);
    if !program.exists() {
        std::os::unix::fs::symlink(assert_cmd::cargo::cargo_bin("klp"), &program).unwrap();
    }
    let mut command = assert_cmd::Command::new(program);
    said(command.env("KLP_ROOT", tree.root()).args(args))
}

pub fn said(command: &mut assert_cmd::Command) -> (i32, String, String) {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}
