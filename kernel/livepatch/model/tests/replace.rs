// SPDX-License-Identifier: GPL-2.0

//! Which functions need a nop in a patch that replaces others?

#[cfg_attr(CONFIG_KUNIT, kernel::prelude::kunit_tests(klp_model_replace))]
mod cases {
    use crate::model::{
        duplicates::find_firsts,
        replace::{
            self,
            changes,
            Changes,
            FuncName,
            Key,
            Replacing, //
        },
    };
    use core::ffi::CStr;

    /// All names that the cases use.
    const NAMES: [&CStr; 7] = [
        c"ext4", c"open", c"read", c"sync", c"vmlinux", c"write", c"xfs",
    ];

    /// The name from the list.
    fn known(name: &CStr) -> &'static CStr {
        NAMES
            .into_iter()
            .find(|&known| known == name)
            .unwrap_or(c"")
    }

    /// A function: its object, its name, its position.
    type Func = (usize, &'static CStr, usize);

    /// A patch with room for three objects and six functions.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Patch {
        objects: [Option<Option<&'static CStr>>; 3],
        funcs: [Option<Func>; 6],
    }

    #[derive(Debug, PartialEq, Eq)]
    struct NoRoom;

    fn append<T>(places: &mut [Option<T>], value: T) -> Result<(), NoRoom> {
        match places.iter_mut().find(|place| place.is_none()) {
            Some(place) => {
                *place = Some(value);
                Ok(())
            }
            None => Err(NoRoom),
        }
    }

    impl Patch {
        fn new(objects: &[Option<&'static CStr>], funcs: &[Func]) -> Self {
            let mut patch = Patch {
                objects: [None; 3],
                funcs: [None; 6],
            };

            for (place, &object) in patch.objects.iter_mut().zip(objects) {
                *place = Some(object);
            }
            for (place, &func) in patch.funcs.iter_mut().zip(funcs) {
                *place = Some(func);
            }
            patch
        }

        /// The patch after it was made to replace `old`.
        fn replacing(mut self, old: &[Patch]) -> Result<Self, NoRoom> {
            add_nops(&mut self, old)?;
            Ok(self)
        }
    }

    /// Adds nops to `patch`; it and two old ones have 27 objects and functions at most.
    fn add_nops(patch: &mut Patch, old: &[Patch]) -> Result<(), NoRoom> {
        let own = *patch;
        let mut keys = [(Key::default(), 0); 27];
        let mut firsts = [0; 27];
        let mut count = 0;

        for change in [&own].into_iter().chain(old).flat_map(changes) {
            keys[count] = (change.key(), count);
            count += 1;
        }
        find_firsts(&mut keys[..count], &mut firsts);
        replace::add_nops(patch, old, &mut firsts)
    }

    impl Changes for Patch {
        fn objects(&self) -> impl Iterator<Item = Option<&CStr>> {
            self.objects.iter().filter_map(|&object| object)
        }

        fn funcs(&self, object: usize) -> impl Iterator<Item = FuncName<'_>> {
            self.funcs
                .iter()
                .flatten()
                .filter(move |func| func.0 == object)
                .map(|&(_, name, sympos)| (name, sympos))
        }
    }

    impl Replacing for Patch {
        type Error = NoRoom;

        fn add_object(&mut self, name: Option<&CStr>) -> Result<(), NoRoom> {
            append(&mut self.objects, name.map(known))
        }

        fn add_nop(&mut self, object: usize, func: FuncName<'_>) -> Result<(), NoRoom> {
            append(&mut self.funcs, (object, known(func.0), func.1))
        }
    }

    #[test]
    fn nothing_to_replace() {
        let new = Patch::new(&[None], &[(0, c"open", 0)]);

        assert_eq!(new.replacing(&[]), Ok(new));
        assert_eq!(new.replacing(&[Patch::new(&[], &[])]), Ok(new));
    }

    #[test]
    fn same_functions() {
        let new = Patch::new(
            &[None, Some(c"ext4")],
            &[(0, c"open", 0), (0, c"read", 2), (1, c"sync", 1)],
        );

        assert_eq!(new.replacing(&[new]), Ok(new));
    }

    #[test]
    fn functions() {
        let new = Patch::new(&[None], &[(0, c"open", 0)]);
        let old = Patch::new(&[None], &[(0, c"read", 3), (0, c"open", 0)]);

        assert_eq!(
            new.replacing(&[old]),
            Ok(Patch::new(&[None], &[(0, c"open", 0), (0, c"read", 3)]))
        );
    }

    /// Positions 0 and 1 are the same.
    #[test]
    fn positions() {
        let new = Patch::new(&[None], &[(0, c"open", 0)]);
        let old = |sympos| Patch::new(&[None], &[(0, c"open", sympos)]);

        assert_eq!(new.replacing(&[old(0)]), Ok(new));
        assert_eq!(new.replacing(&[old(1)]), Ok(new));
        assert_eq!(
            new.replacing(&[old(2)]),
            Ok(Patch::new(&[None], &[(0, c"open", 0), (0, c"open", 2)]))
        );
    }

    /// Functions of one name in two objects are two functions, and so are two objects.
    #[test]
    fn objects() {
        let new = Patch::new(&[None], &[(0, c"open", 0)]);
        let old = Patch::new(
            &[Some(c"ext4"), Some(c"xfs"), None],
            &[(0, c"open", 0), (1, c"write", 1), (2, c"read", 0)],
        );

        assert_eq!(
            new.replacing(&[old]),
            Ok(Patch::new(
                &[None, Some(c"ext4"), Some(c"xfs")],
                &[
                    (0, c"open", 0),
                    (1, c"open", 0),
                    (2, c"write", 1),
                    (0, c"read", 0)
                ]
            ))
        );
    }

    /// An object is known by its name; a module that is called vmlinux is not the kernel.
    #[test]
    fn object_called_vmlinux() {
        let new = Patch::new(&[Some(c"vmlinux")], &[(0, c"open", 0)]);
        let old = Patch::new(&[None], &[(0, c"open", 0)]);

        assert_eq!(
            new.replacing(&[old]),
            Ok(Patch::new(
                &[Some(c"vmlinux"), None],
                &[(0, c"open", 0), (1, c"open", 0)]
            ))
        );
    }

    /// What two patches change gets one nop.
    #[test]
    fn several_patches() {
        let one = Patch::new(&[None], &[(0, c"open", 0), (0, c"read", 0)]);
        let two = Patch::new(&[None], &[(0, c"read", 1), (0, c"write", 0)]);

        assert_eq!(
            Patch::new(&[], &[]).replacing(&[one, two]),
            Ok(Patch::new(
                &[None],
                &[(0, c"open", 0), (0, c"read", 0), (0, c"write", 0)],
            ))
        );
    }

    /// The nops of an older patch that replaced others count as its functions.
    #[test]
    fn nops_of_older_patch() {
        let empty = Patch::new(&[], &[]);
        let one = Patch::new(&[None], &[(0, c"open", 0)]);
        let two = empty.replacing(&[one]);

        assert_eq!(two, Ok(one));
        assert_eq!(two.and_then(|two| empty.replacing(&[two])), Ok(one));
    }

    /// After an error, what was added before it stays.
    #[test]
    fn errors() {
        let old = Patch::new(&[Some(c"ext4")], &[(0, c"open", 0), (0, c"sync", 0)]);
        let full = Patch::new(&[None, None, Some(c"xfs")], &[]);
        let mut patch = full;

        assert_eq!(add_nops(&mut patch, &[old]), Err(NoRoom));
        assert_eq!(patch, full);

        let mut patch = Patch::new(&[None], &[(0, c"read", 0); 6]);

        assert_eq!(add_nops(&mut patch, &[old]), Err(NoRoom));
        assert_eq!(
            patch,
            Patch::new(&[None, Some(c"ext4")], &[(0, c"read", 0); 6])
        );

        let mut patch = Patch::new(&[None], &[(0, c"read", 0); 5]);

        assert_eq!(add_nops(&mut patch, &[old]), Err(NoRoom));
        assert_eq!(patch.funcs[5], Some((1, c"open", 0)));
    }
}
