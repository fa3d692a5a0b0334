#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::{Btf, BtfError};

/// Writes type information the way a compiler does.
#[derive(Default)]
struct Writer {
    types: Vec<u8>,
    strings: Vec<u8>,
    count: u32,
}

impl Writer {
    fn new() -> Self {
        Self {
            strings: vec![0],
            ..Self::default()
        }
    }

    fn name(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let at = u32::try_from(self.strings.len()).unwrap();
        self.strings.extend_from_slice(text.as_bytes());
        self.strings.push(0);
        at
    }

    fn add(
        &mut self,
        name: &str,
        kind: u32,
        flag: u32,
        link: u32,
        tail: &[[u32; 3]],
        width: usize,
    ) -> u32 {
        let name = self.name(name);
        let entries = u32::try_from(tail.len()).unwrap();
        // Arrays and integers have a tail but no count of entries.
        let counted = if matches!(kind, 1 | 3) { 0 } else { entries };
        self.words(&[name, flag << 31 | kind << 24 | counted, link]);
        for entry in tail {
            self.words(&entry[..width]);
        }
        self.count += 1;
        self.count
    }

    fn words(&mut self, words: &[u32]) {
        for word in words {
            self.types.extend_from_slice(&word.to_ne_bytes());
        }
    }

    fn int(&mut self) -> u32 {
        self.add("int", 1, 0, 4, &[[0; 3]], 1)
    }

    fn structure(&mut self, name: &str, flag: u32, members: &[(&str, u32, u32)]) -> u32 {
        let tail: Vec<[u32; 3]> = members
            .iter()
            .map(|&(member, type_id, bits)| [self.name(member), type_id, bits])
            .collect();
        self.add(name, 4, flag, 64, &tail, 3)
    }

    fn finish(self) -> Vec<u8> {
        let types = u32::try_from(self.types.len()).unwrap();
        let strings = u32::try_from(self.strings.len()).unwrap();
        let mut bytes = Vec::new();
        for word in [0x0001_eb9f_u32, 24, 0, types, types, strings] {
            bytes.extend_from_slice(&word.to_ne_bytes());
        }
        bytes.extend(self.types);
        bytes.extend(self.strings);
        bytes
    }
}

/// `struct outer { int first; struct { const alias inner; }; int bits:3, rest:5; int grid[3][5]; }`
fn sample() -> Vec<u8> {
    let mut writer = Writer::new();
    let int = writer.int();
    let inner = writer.structure("inner", 0, &[("deep", int, 32), ("deeper", int, 64)]);
    let alias = writer.add("alias", 8, 0, inner, &[], 0);
    let constant = writer.add("", 10, 0, alias, &[], 0);
    let anonymous = writer.structure("", 0, &[("inner", constant, 64)]);
    let row = writer.add("", 3, 0, 0, &[[int, int, 5]], 3);
    let grid = writer.add("", 3, 0, 0, &[[row, int, 3]], 3);
    let members = [
        ("first", int, 0),
        ("", anonymous, 128),
        ("bits", int, 3 << 24 | 320),
        ("rest", int, 5 << 24 | 323),
        ("grid", grid, 384),
    ];
    let outer = writer.structure("outer", 1, &members);
    let pointer = writer.add("", 2, 0, outer, &[], 0);
    let prototype = {
        let data = writer.name("__data");
        let argument = writer.name("it");
        writer.add(
            "",
            13,
            0,
            0,
            &[[data, 0, 0], [argument, pointer, 0], [argument, int, 0]],
            2,
        )
    };
    let function = writer.add("", 2, 0, prototype, &[], 0);
    writer.add("btf_trace_happened", 8, 0, function, &[], 0);
    let (a, b) = (writer.name("first_id"), writer.name("second_id"));
    writer.add("numbers", 6, 0, 4, &[[a, 0, 0], [b, 7, 0]], 2);
    writer.finish()
}

#[test]
fn members_are_found_through_anonymous_structs_typedefs_and_qualifiers() {
    let btf = Btf::parse(sample()).unwrap();
    let check = |path, expected| assert_eq!(btf.offset("outer", path), expected, "{path}");
    check("first", Some(0));
    check("inner", Some(24));
    check("inner.deep", Some(28));
    check("inner.deeper", Some(32));
    check("grid", Some(48));
    check("bits", None);
    check("rest", None);
    check("firs", None);
    check("first.deep", None);
    check("", None);
    assert_eq!(btf.offset("oute", "first"), None);
    assert_eq!(btf.offset("inner", "deep"), Some(4));
}

#[test]
fn arrays_enumerators_and_tracepoints_are_described() {
    let btf = Btf::parse(sample()).unwrap();
    assert_eq!(btf.array_lengths("outer", "grid"), Some(vec![3, 5]));
    assert_eq!(btf.array_lengths("outer", "first"), None);
    assert_eq!(btf.enumerator("numbers", "second_id"), Some(7));
    assert_eq!(btf.enumerator("numbers", "third_id"), None);
    assert_eq!(
        btf.tracepoint("happened"),
        Some(vec!["outer".to_owned(), String::new()])
    );
    assert_eq!(btf.tracepoint("never"), None);
}

#[test]
fn broken_headers_and_unknown_kinds_are_named() {
    assert_eq!(Btf::parse(Vec::new()).unwrap_err(), BtfError::Short);
    assert_eq!(Btf::parse(vec![0; 24]).unwrap_err(), BtfError::Magic(0));
    let mut cut = sample();
    cut.pop();
    assert_eq!(Btf::parse(cut).unwrap_err(), BtfError::Short);
    let mut strange = Writer::new();
    strange.int();
    strange.add("future", 30, 0, 0, &[], 0);
    let unknown = Btf::parse(strange.finish()).unwrap_err();
    assert_eq!(unknown, BtfError::Kind { id: 2, kind: 30 });
}

#[test]
fn types_that_refer_to_themselves_end_somewhere() {
    let mut writer = Writer::new();
    writer.add("loop", 8, 0, 1, &[], 0);
    let inside = writer.structure("", 0, &[("", 2, 0)]);
    assert_eq!(inside, 2);
    writer.structure("holder", 0, &[("it", 1, 0), ("", 2, 0), ("", 4, 0)]);
    // Itself, again and again.
    writer.structure("", 0, &[("", 4, 0); 60]);
    let btf = Btf::parse(writer.finish()).unwrap();
    assert_eq!(btf.offset("holder", "it"), Some(0));
    assert_eq!(btf.offset("holder", "it.more"), None);
    assert_eq!(btf.offset("holder", "missing"), None);
}

/// Asks everything there is to ask.
fn question(btf: &Btf) {
    for path in ["first", "inner.deep", "grid", "bits"] {
        let _ = btf.offset("outer", path);
        let _ = btf.array_lengths("outer", path);
    }
    let _ = btf.enumerator("numbers", "second_id");
    let _ = btf.tracepoint("happened");
}

proptest! {
    #[test]
    fn property_test_arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        if let Ok(btf) = Btf::parse(bytes) {
            question(&btf);
        }
    }

    #[test]
    fn property_test_damaged_type_information_never_panics(
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12)
    ) {
        let mut bytes = sample();
        for (index, value) in damage {
            // The magic stays, or nothing behind it is reached.
            let at = index.index(bytes.len() - 2) + 2;
            bytes[at] = value;
        }
        if let Ok(btf) = Btf::parse(bytes) {
            question(&btf);
        }
    }
}

#[test]
fn the_running_kernels_type_information_answers() {
    let Ok(bytes) = std::fs::read("/sys/kernel/btf/vmlinux") else {
        // A kernel without BTF: nothing to compare with.
        return;
    };
    let btf = Btf::parse(bytes).unwrap();
    assert!(btf.offset("task_struct", "pid").unwrap() > 0);
    assert_eq!(btf.offset("list_head", "prev"), Some(8));
    assert_eq!(
        btf.offset("sock", "__sk_common.skc_family"),
        btf.offset("sock_common", "skc_family")
    );
    assert_eq!(
        btf.tracepoint("sched_wakeup"),
        Some(vec!["task_struct".to_owned()])
    );
    assert_eq!(btf.tracepoint("sched_wokeup"), None);
}
