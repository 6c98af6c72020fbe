// SPDX-License-Identifier: GPL-2.0

//! KUnit tests of the whole core: functions of this kernel are patched.
//!
//! What is patched, and what it is replaced by, is C: see `tests.h`. The patches are in modules
//! that only these tests know, and are used by the functions that a patch module calls, and by
//! files in sysfs.
//!
//! A test returns an error when something is not as it should be, and does not use the `assert!` of
//! KUnit: that one ends the task at once, and nothing would be undone.

mod attach;
mod descriptor;
mod faults;
mod force;
mod jumps;
mod lifecycle;
mod many;
mod patching;
mod shadow;
mod snapshot;
mod symbols;
mod tasks;

use self::snapshot::{
    Snapshot,
    Sysfs, //
};
use crate::{
    abi,
    registry,
    shim, //
};
use core::{
    cell::UnsafeCell,
    mem::{
        self,
        MaybeUninit, //
    },
    ptr::NonNull,
};
use kernel::{
    bindings,
    error::{
        from_err_ptr,
        to_result, //
    },
    ffi::c_void,
    prelude::*,
    str::CString,
    sync::{
        Arc,
        Completion, //
    },
    time::{
        Delta,
        Instant,
        Monotonic, //
    },
};

/// Fails the test unless the condition holds.
macro_rules! check {
    ($condition:expr $(,)?) => {
        if !$condition {
            pr_err!(
                "{}:{}: expected {}\n",
                file!(),
                line!(),
                stringify!($condition)
            );
            return Err(EINVAL);
        }
    };
}
use check;

/// Fails the test unless both are equal.
macro_rules! check_eq {
    ($left:expr, $right:expr $(,)?) => {
        match (&$left, &$right) {
            (left, right) => {
                if *left != *right {
                    pr_err!(
                        "{}:{}: {} is {:?}, expected {:?}\n",
                        file!(),
                        line!(),
                        stringify!($left),
                        left,
                        right
                    );
                    return Err(EINVAL);
                }
            }
        }
    };
}
use check_eq;

/// Waits for `condition`, which has to come true sooner or later.
fn wait_until(mut condition: impl FnMut() -> Result<bool>) -> Result {
    const LIMIT: Delta = Delta::from_secs(60);
    let start = Instant::<Monotonic>::now();

    while !condition()? {
        check!(start.elapsed() < LIMIT);
        shim::msleep(1);
    }
    Ok(())
}

/// A test: sysfs to look at, and how all was when it began.
struct Scene {
    sysfs: Sysfs,
    before: Snapshot,
}

impl Scene {
    fn new() -> Result<Self> {
        let sysfs = Sysfs::mount()?;
        let before = Snapshot::take(&sysfs)?;

        // Left by a test that failed: this one would, too.
        check!(before.is_unused());
        Ok(Scene { sysfs, before })
    }

    /// Ends the test: nothing must be left of it.
    fn end(self) -> Result {
        // The last work may be that of a work item.
        wait_until(|| Ok(Snapshot::take(&self.sysfs)? == self.before)).inspect_err(|_| {
            if let Ok(after) = Snapshot::take(&self.sysfs) {
                after.print_difference(&self.before);
            }
        })
    }
}

/// What a patch replaces by what.
#[derive(Clone, Copy)]
struct Patched {
    name: &'static CStr,
    sympos: usize,
    new_func: *mut c_void,
}

impl Patched {
    fn new(name: &'static CStr, new_func: unsafe extern "C" fn() -> c_int) -> Self {
        Self::at(name, 0, new_func)
    }

    /// The function of that name at the position `sympos`.
    fn at(name: &'static CStr, sympos: usize, new_func: unsafe extern "C" fn() -> c_int) -> Self {
        Patched {
            name,
            sympos,
            new_func: new_func as *mut c_void,
        }
    }
}

/// The functions of a patch: each name is one of `klp_test_<name>`, replaced by
/// `klp_test_<name>_<version>`. A position may follow a name that is not unique.
macro_rules! patched {
    (@sympos) => {
        0
    };
    (@sympos $sympos:expr) => {
        $sympos
    };
    ($($func:ident $([$sympos:expr])? => $version:ident),+ $(,)?) => {
        [$(
            $crate::tests::Patched::at(
                ::kernel::c_str!(concat!("klp_test_", stringify!($func))),
                $crate::tests::patched!(@sympos $($sympos)?),
                ::kernel::macros::paste!(::kernel::bindings::[<klp_test_ $func _ $version>]),
            ),
        )+]
    };
}
use patched;

const FUNCS: usize = 4;

/// The memory of a patch module.
struct Descriptor {
    patch: bindings::klp_patch,
    /// vmlinux, a module that is not there, and the end.
    objects: [bindings::klp_object; 3],
    vmlinux_funcs: [bindings::klp_func; FUNCS + 1],
    absent_funcs: [bindings::klp_func; 2],
    states: [bindings::klp_state; 2],
}

/// The module that no test loads.
const ABSENT: &CStr = c"klp_test_absent";

/// A livepatch module with its patch.
///
/// # Invariants
///
/// `module` is one of `klp_test_module()`. The pointers in `descriptor` are null, or point into it
/// or to statics.
struct Livepatch {
    module: *mut bindings::module,
    /// `None` only while it is dropped.
    descriptor: Option<KBox<UnsafeCell<Descriptor>>>,
}

impl Livepatch {
    /// Module number `nr`, whose patch replaces `funcs` in vmlinux.
    fn new(nr: c_uint, funcs: &[Patched]) -> Result<Self> {
        check!(nr < bindings::KLP_TEST_MODULES && funcs.len() <= FUNCS);

        // SAFETY: There is a module of that number.
        let module = unsafe { bindings::klp_test_module(nr) };
        // SAFETY: Structures of C, for which all zeroes are a value: null pointers, no callbacks.
        let zeroed = unsafe { MaybeUninit::<Descriptor>::zeroed().assume_init() };
        let descriptor = KBox::new(UnsafeCell::new(zeroed), GFP_KERNEL)?;

        // INVARIANT: All pointers are null, or set here.
        let this = Livepatch {
            module,
            descriptor: Some(descriptor),
        };
        this.edit(|descriptor| {
            for (func, patched) in descriptor.vmlinux_funcs.iter_mut().zip(funcs) {
                func.old_name = patched.name.as_char_ptr();
                func.new_func = patched.new_func;
                func.old_sympos = patched.sympos;
            }
            let [vmlinux, _, _] = &mut descriptor.objects;
            vmlinux.funcs = descriptor.vmlinux_funcs.as_mut_ptr();
            descriptor.patch.mod_ = module;
            descriptor.patch.objs = descriptor.objects.as_mut_ptr();
        });
        Ok(this)
    }

    /// Changes the descriptor. Only while the core does not know it.
    fn edit<R>(&self, f: impl FnOnce(&mut Descriptor) -> R) -> Option<R> {
        self.descriptor.as_ref().map(|descriptor| {
            // SAFETY: Nobody else uses the descriptor: it is this thread's, and not known to the
            // core.
            f(unsafe { &mut *descriptor.get() })
        })
    }

    /// The patch replaces all others.
    fn replacing(self) -> Self {
        self.edit(|descriptor| descriptor.patch.replace = true);
        self
    }

    /// The patch has a function of a module that is not loaded, too.
    fn with_absent_object(self) -> Self {
        self.edit(|descriptor| {
            let [_, absent, _] = &mut descriptor.objects;
            let [func, _] = &mut descriptor.absent_funcs;
            func.old_name = c"klp_test_absent_function".as_char_ptr();
            func.new_func = bindings::klp_test_one_v1 as *mut c_void;
            absent.name = ABSENT.as_char_ptr();
            absent.funcs = descriptor.absent_funcs.as_mut_ptr();
        });
        self
    }

    /// The patch declares a state.
    fn with_state(self, id: usize, version: c_uint) -> Self {
        self.edit(|descriptor| {
            let [state, _] = &mut descriptor.states;
            state.id = id;
            state.version = version;
            descriptor.patch.states = descriptor.states.as_mut_ptr();
        });
        self
    }

    fn with_callbacks(self, callbacks: bindings::klp_callbacks) -> Self {
        self.edit(|descriptor| {
            let [vmlinux, _, _] = &mut descriptor.objects;
            vmlinux.callbacks = callbacks;
        });
        self
    }

    /// Changes what the core asks the module about.
    fn edit_module<R>(&self, f: impl FnOnce(&mut bindings::module) -> R) -> R {
        // SAFETY: The module is valid by the type invariant. It is used by this test alone, and the
        // core looks at it only in calls that this thread makes.
        f(unsafe { &mut *self.module })
    }

    fn patch(&self) -> *mut bindings::klp_patch {
        match &self.descriptor {
            // SAFETY: The descriptor is valid; no reference is made.
            Some(descriptor) => unsafe { &raw mut (*descriptor.get()).patch },
            None => core::ptr::null_mut(),
        }
    }

    fn register(&self) -> Result {
        // SAFETY: The descriptor is valid by the type invariant, and kept while the core knows it.
        to_result(unsafe { abi::klp_register_patch(self.patch()) })
    }

    fn enable(&self) -> Result {
        // SAFETY: The descriptor is valid by the type invariant, and kept while the core knows it.
        to_result(unsafe { abi::klp_enable_patch(self.patch()) })
    }

    fn disable(&self) -> Result {
        // SAFETY: The pointer is only compared with those of the patches that are known.
        to_result(unsafe { abi::klp_disable_patch(self.patch()) })
    }

    fn unregister(&self) -> Result {
        // SAFETY: The pointer is only compared with those of the patches that are known.
        to_result(unsafe { abi::klp_unregister_patch(self.patch()) })
    }

    /// How many references the core holds to the module.
    fn references(&self) -> c_int {
        // SAFETY: The module is valid by the type invariant.
        unsafe { bindings::module_refcount(self.module) }
    }

    fn name(&self) -> &CStr {
        // SAFETY: The module is valid by the type invariant, and its name is a string.
        unsafe { CStr::from_char_ptr((&raw const (*self.module).name).cast()) }
    }

    /// The file or directory `name` of the patch in sysfs.
    fn path(&self, name: &CStr) -> Result<CString> {
        CString::try_from_fmt(fmt!("kernel/livepatch/{}/{}", self.name(), name))
    }

    /// Reads an attribute that is a number.
    fn attribute(&self, sysfs: &Sysfs, name: &CStr) -> Result<u8> {
        let content = sysfs.read(&self.path(name)?)?;

        match *content {
            [digit @ b'0'..=b'9', b'\n'] => Ok(digit - b'0'),
            _ => Err(EINVAL),
        }
    }

    /// Writes to an attribute, as an administrator does.
    fn write(&self, sysfs: &Sysfs, name: &CStr, value: &[u8]) -> Result {
        sysfs.write(&self.path(name)?, value)
    }

    /// Is there a directory of the patch?
    fn is_visible(&self, sysfs: &Sysfs) -> bool {
        self.path(c"")
            .is_ok_and(|path| sysfs.list(&path, |_, _| Ok(())).is_ok())
    }

    /// Waits for the end of the transition.
    fn settle(&self, sysfs: &Sysfs) -> Result {
        wait_until(|| Ok(self.attribute(sysfs, c"transition")? == 0))?;
        // Whoever ends it has the lock until all is done.
        drop(registry::lock());
        Ok(())
    }

    fn enable_and_settle(&self, sysfs: &Sysfs) -> Result {
        self.enable()?;
        self.settle(sysfs)
    }

    fn disable_and_settle(&self, sysfs: &Sysfs) -> Result {
        self.disable()?;
        self.settle(sysfs)
    }

    /// Does the core refer to the descriptor?
    fn is_known(&self) -> bool {
        registry::lock().all().any(|patch| patch.is(self.patch()))
    }

    /// The patch was forced: the core may refer to it for as long as the system runs.
    fn leave_behind(mut self) {
        mem::forget(self.descriptor.take());
    }
}

impl Drop for Livepatch {
    /// Only after a test that has failed there is something to be done here.
    fn drop(&mut self) {
        let gone = wait_until(|| {
            // Whatever the present state is, one of these gets on with it.
            let _ = self.disable();
            let _ = self.unregister();
            Ok(!self.is_known())
        });
        if gone.is_err() {
            mem::forget(self.descriptor.take());
        }
    }
}

/// A kernel thread.
struct Thread {
    task: NonNull<bindings::task_struct>,
    /// `None` after the end was waited for.
    done: Option<Arc<Completion>>,
}

impl Thread {
    /// Starts a thread that runs `f`.
    fn spawn<F: FnOnce() -> c_int + Send + 'static>(f: F) -> Result<Self> {
        struct Start<F> {
            f: F,
            done: Arc<Completion>,
        }
        /// # Safety
        ///
        /// `data` must come from `KBox::into_raw` of a `Start<F>`, which is given away.
        unsafe extern "C" fn run<F: FnOnce() -> c_int>(data: *mut c_void) -> c_int {
            // SAFETY: `data` comes from `KBox::into_raw` of a `Start<F>`, and is given away, as
            // promised.
            let start = unsafe { KBox::<Start<F>>::from_raw(data.cast()) };
            let Start { f, done } = KBox::into_inner(start);

            let result = f();
            done.complete_all();
            result
        }

        let done = Arc::pin_init(Completion::new(), GFP_KERNEL)?;
        let start = KBox::new(
            Start {
                f,
                done: done.clone(),
            },
            GFP_KERNEL,
        )?;
        let start = KBox::into_raw(start);

        // SAFETY: `run` gets what it asks for, once: the thread is not stopped before it was done.
        let task = from_err_ptr(unsafe {
            bindings::kthread_create_on_node(
                Some(run::<F>),
                start.cast(),
                bindings::NUMA_NO_NODE,
                c"klp_test".as_char_ptr(),
            )
        })
        .inspect_err(|_| {
            // SAFETY: There is no thread that would take it.
            drop(unsafe { KBox::from_raw(start) });
        })?;
        // SAFETY: The thread is new and has not run, so it is there.
        unsafe {
            bindings::get_task_struct(task);
            bindings::wake_up_process(task);
        }
        Ok(Thread {
            task: NonNull::new(task).ok_or(EINVAL)?,
            done: Some(done),
        })
    }

    /// Waits for the end of the thread. What it returned is what this returns.
    fn join(mut self) -> c_int {
        self.wait().unwrap_or(-1)
    }

    /// As [`Thread::join`]; `None` if that was done before.
    fn wait(&mut self) -> Option<c_int> {
        let done = self.done.take()?;

        done.wait_for_completion();
        // SAFETY: The reference keeps the task, and this is done once.
        Some(unsafe { bindings::kthread_stop(self.task.as_ptr()) })
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.wait();
        // SAFETY: The reference was taken in `spawn`.
        unsafe { bindings::put_task_struct(self.task.as_ptr()) };
    }
}

/// A thread that sleeps in `klp_test_sleep()`, or in what that is replaced by.
struct Sleeper(Option<Thread>);

impl Sleeper {
    /// Starts the thread. It is asleep in the function when this returns.
    fn new() -> Result<Self> {
        // SAFETY: Takes no pointer, and sleeps on a completion that is static.
        let thread = Thread::spawn(|| unsafe { bindings::klp_test_sleep() })?;
        let this = Sleeper(Some(thread));

        // SAFETY: Takes no pointer, and waits for a completion that is static.
        check!(unsafe { bindings::klp_test_sleeping() });
        Ok(this)
    }

    /// Lets the function return. Says which version it was.
    fn wake(mut self) -> c_int {
        self.wake_up().unwrap_or(-1)
    }

    fn wake_up(&mut self) -> Option<c_int> {
        let thread = self.0.take()?;

        // SAFETY: Takes no pointer; the completion is static.
        unsafe { bindings::klp_test_wake() };
        Some(thread.join())
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.wake_up();
    }
}

fn one() -> c_int {
    // SAFETY: A function without arguments, which only returns a number.
    unsafe { bindings::klp_test_one() }
}

fn two() -> c_int {
    // SAFETY: A function without arguments, which only returns a number.
    unsafe { bindings::klp_test_two() }
}

/// What the functions of the name `klp_test_twin` answer.
fn twins() -> [c_int; 2] {
    // SAFETY: Functions without arguments, which return pointers to such functions, and numbers.
    unsafe {
        [
            bindings::klp_test_first_twin(),
            bindings::klp_test_second_twin(),
        ]
        .map(|twin| twin.map_or(-1, |twin| twin()))
    }
}
