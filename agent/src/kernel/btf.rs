//! A parser for the kernel's type information (BTF), for the few questions the loader has: where
//! a member lies, how an array is shaped, what an enumerator is worth, what a tracepoint hands to
//! its programs.
//!
//! Takes any bytes: what is cut off or inconsistent is an error or an answer of `None`, never a
//! panic. Types are indexed once by number and by kind; names are found by scanning those of a
//! kind, some ten thousand of the 130,000 types there are.

#[cfg(test)]
mod tests;

use std::ops::Range;

const MAGIC: u16 = 0xeb9f;
const TYPE_BYTES: usize = 12;
/// Kinds there are, the void one included.
const KINDS: usize = 20;
/// Types that refer to one another are followed no deeper than this.
const MAX_DEPTH: usize = 32;
/// Members looked at for one name; a struct has some hundreds. Without it, anonymous members that
/// contain themselves many times over would be walked for ever.
const MAX_MEMBERS: usize = 1 << 16;

/// Why bytes are no type information.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BtfError {
    /// Shorter than its header says.
    #[error("type information ends early")]
    Short,
    /// Not BTF, or of the other byte order.
    #[error("type information has magic {0:#06x}")]
    Magic(u16),
    /// A kind whose length is unknown, so that nothing after it can be read.
    #[error("type {id} is of unknown kind {kind}")]
    Kind {
        /// Number of the type.
        id: u32,
        /// Its kind.
        kind: u32,
    },
}

/// Kinds of types, by their numbers in the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
enum Kind {
    Pointer = 2,
    Array = 3,
    Struct = 4,
    Union = 5,
    Enum = 6,
    Typedef = 8,
    Volatile = 9,
    Const = 10,
    Restrict = 11,
    FunctionPrototype = 13,
    TypeTag = 18,
}

/// Parsed type information.
#[derive(Debug)]
pub(super) struct Btf {
    bytes: Vec<u8>,
    strings: Range<usize>,
    index: Index,
}

/// Where types start.
#[derive(Debug, Default)]
struct Index {
    /// Type `i + 1`; type 0 is `void`.
    by_number: Vec<u32>,
    by_kind: [Vec<u32>; KINDS],
}

/// The fixed part of a type.
#[derive(Debug, Clone, Copy)]
struct Type {
    at: usize,
    name: u32,
    info: u32,
    /// Size or type, by kind.
    link: u32,
}

impl Type {
    fn kind(self) -> u32 {
        (self.info >> 24) & 0x1f
    }

    fn is(self, kind: Kind) -> bool {
        self.kind() == kind as u32
    }

    fn entries(self) -> usize {
        (self.info & 0xffff) as usize
    }

    /// Whether members' offsets carry a bit-field size in the upper byte.
    fn has_bit_fields(self) -> bool {
        self.info >> 31 == 1
    }

    fn is_composite(self) -> bool {
        self.is(Kind::Struct) || self.is(Kind::Union)
    }
}

/// A member of a struct or union.
struct Member {
    name: u32,
    type_id: u32,
    bits: u32,
    bit_field: bool,
}

impl Btf {
    /// Checks the header and finds where each type starts.
    ///
    /// # Errors
    /// See [`BtfError`].
    pub(super) fn parse(bytes: Vec<u8>) -> Result<Self, BtfError> {
        let word = |at| {
            read_u32(&bytes, at)
                .ok_or(BtfError::Short)
                .map(|value| value as usize)
        };
        let magic = word(0)? as u32 as u16;
        if magic != MAGIC {
            return Err(BtfError::Magic(magic));
        }
        let header = word(4)?;
        let section = |offset: usize, length: usize| {
            let start = header.checked_add(offset).ok_or(BtfError::Short)?;
            let end = start.checked_add(length).ok_or(BtfError::Short)?;
            if end > bytes.len() {
                Err(BtfError::Short)
            } else {
                Ok(start..end)
            }
        };
        let type_section = section(word(8)?, word(12)?)?;
        let strings = section(word(16)?, word(20)?)?;
        let index = index_types(&bytes, type_section)?;
        Ok(Self {
            bytes,
            strings,
            index,
        })
    }

    /// Offset in bytes of a member, given by a path such as `__sk_common.skc_num`. Members of
    /// anonymous structs and unions are found as if they were the outer one's. `None` if there is
    /// no such member or it is a bit-field.
    #[must_use]
    pub(super) fn offset(&self, composite: &str, path: &str) -> Option<u32> {
        self.member(composite, path).map(|(offset, _)| offset)
    }

    /// Lengths of an array member, outermost first.
    #[must_use]
    pub(super) fn array_lengths(&self, composite: &str, path: &str) -> Option<Vec<u32>> {
        let (_, mut type_id) = self.member(composite, path)?;
        let mut lengths = Vec::new();
        while lengths.len() < MAX_DEPTH {
            let found = self.resolve(type_id)?;
            if !found.is(Kind::Array) {
                break;
            }
            type_id = read_u32(&self.bytes, found.at + TYPE_BYTES)?;
            lengths.push(read_u32(&self.bytes, found.at + TYPE_BYTES + 8)?);
        }
        (!lengths.is_empty()).then_some(lengths)
    }

    /// Value of an enumerator.
    #[must_use]
    pub(super) fn enumerator(&self, enumeration: &str, name: &str) -> Option<u32> {
        self.named(Kind::Enum, enumeration).find_map(|found| {
            (0..found.entries()).find_map(|index| {
                let at = found.at + TYPE_BYTES + 8 * index;
                let known = self.is_named(read_u32(&self.bytes, at)?, name);
                if known {
                    read_u32(&self.bytes, at + 4)
                } else {
                    None
                }
            })
        })
    }

    /// What a tracepoint hands to its programs: for each argument the name of the struct it points
    /// to, or an empty string. `None` if the kernel has no such tracepoint.
    #[must_use]
    pub(super) fn tracepoint(&self, name: &str) -> Option<Vec<String>> {
        let hook = format!("btf_trace_{name}");
        let prototype = self.named(Kind::Typedef, &hook).find_map(|found| {
            let pointer = self.resolve(found.link)?;
            let prototype = self.resolve(pointer.link)?;
            prototype.is(Kind::FunctionPrototype).then_some(prototype)
        })?;
        // The first parameter is the tracepoint's own data.
        (1..prototype.entries())
            .map(|index| {
                let type_id = read_u32(&self.bytes, prototype.at + TYPE_BYTES + 8 * index + 4)?;
                Some(self.pointed_struct(type_id).unwrap_or_default())
            })
            .collect()
    }

    fn pointed_struct(&self, type_id: u32) -> Option<String> {
        let pointer = self
            .resolve(type_id)
            .filter(|found| found.is(Kind::Pointer))?;
        let target = self
            .resolve(pointer.link)
            .filter(|found| found.is_composite())?;
        let name = self.string(target.name)?;
        Some(String::from_utf8_lossy(name).into_owned())
    }

    fn member(&self, composite: &str, path: &str) -> Option<(u32, u32)> {
        [Kind::Struct, Kind::Union]
            .into_iter()
            .flat_map(|kind| self.named(kind, composite))
            .find_map(|found| self.member_of(found, path))
    }

    /// Offset in bytes and type of a member by path.
    fn member_of(&self, composite: Type, path: &str) -> Option<(u32, u32)> {
        let mut current = composite;
        let mut bits = 0_u32;
        let mut type_id = 0;
        for (depth, name) in path.split('.').enumerate() {
            if depth > 0 {
                current = self.resolve(type_id)?;
            }
            let mut budget = MAX_MEMBERS;
            let (offset, found) = self.direct_member(current, name, 0, &mut budget)?;
            bits = bits.checked_add(offset)?;
            type_id = found;
        }
        bits.is_multiple_of(8).then_some((bits / 8, type_id))
    }

    /// Offset in bits and type of a member, looked for in anonymous members too.
    fn direct_member(
        &self,
        composite: Type,
        name: &str,
        depth: usize,
        budget: &mut usize,
    ) -> Option<(u32, u32)> {
        if !composite.is_composite() || depth > MAX_DEPTH {
            return None;
        }
        (0..composite.entries()).find_map(|index| {
            *budget = budget.checked_sub(1)?;
            let member = self.member_at(composite, index)?;
            if member.name != 0 {
                let wanted = !member.bit_field && self.is_named(member.name, name);
                return wanted.then_some((member.bits, member.type_id));
            }
            let inner = self.resolve(member.type_id)?;
            let (offset, type_id) = self.direct_member(inner, name, depth + 1, budget)?;
            Some((member.bits.checked_add(offset)?, type_id))
        })
    }

    fn member_at(&self, composite: Type, index: usize) -> Option<Member> {
        let at = composite.at + TYPE_BYTES + 12 * index;
        let offset = read_u32(&self.bytes, at + 8)?;
        let (bits, bit_field) = if composite.has_bit_fields() {
            (offset & 0x00ff_ffff, offset >> 24 != 0)
        } else {
            (offset, false)
        };
        let name = read_u32(&self.bytes, at)?;
        let type_id = read_u32(&self.bytes, at + 4)?;
        Some(Member {
            name,
            type_id,
            bits,
            bit_field,
        })
    }

    /// The type behind typedefs, qualifiers and tags.
    fn resolve(&self, type_id: u32) -> Option<Type> {
        let mut found = self.type_at(type_id)?;
        for _ in 0..MAX_DEPTH {
            let transparent = [
                Kind::Typedef,
                Kind::Volatile,
                Kind::Const,
                Kind::Restrict,
                Kind::TypeTag,
            ]
            .into_iter()
            .any(|kind| found.is(kind));
            if !transparent {
                return Some(found);
            }
            found = self.type_at(found.link)?;
        }
        None
    }

    fn type_at(&self, type_id: u32) -> Option<Type> {
        let at = *self
            .index
            .by_number
            .get((type_id as usize).checked_sub(1)?)? as usize;
        read_type(&self.bytes, at)
    }

    fn named<'a>(&'a self, kind: Kind, name: &'a str) -> impl Iterator<Item = Type> + 'a {
        let starts = self.index.by_kind.get(kind as usize);
        starts
            .into_iter()
            .flatten()
            .filter_map(|&at| read_type(&self.bytes, at as usize))
            .filter(move |found| self.is_named(found.name, name))
    }

    fn is_named(&self, offset: u32, name: &str) -> bool {
        self.string_from(offset).is_some_and(|text| {
            text.starts_with(name.as_bytes()) && text.get(name.len()) == Some(&0)
        })
    }

    fn string(&self, offset: u32) -> Option<&[u8]> {
        self.string_from(offset)?.split(|&byte| byte == 0).next()
    }

    fn string_from(&self, offset: u32) -> Option<&[u8]> {
        self.bytes.get(self.strings.clone())?.get(offset as usize..)
    }
}

fn index_types(bytes: &[u8], section: Range<usize>) -> Result<Index, BtfError> {
    let mut index = Index::default();
    let mut at = section.start;
    while at < section.end {
        let found = read_type(bytes, at).ok_or(BtfError::Short)?;
        let start = u32::try_from(at).map_err(|_| BtfError::Short)?;
        index.by_number.push(start);
        let (Some(same), Some(tail)) = (
            index.by_kind.get_mut(found.kind() as usize),
            tail_bytes(found),
        ) else {
            return Err(BtfError::Kind {
                // There are fewer types than bytes, and those fit.
                id: index.by_number.len() as u32,
                kind: found.kind(),
            });
        };
        same.push(start);
        at += TYPE_BYTES + tail;
    }
    if at == section.end {
        Ok(index)
    } else {
        Err(BtfError::Short)
    }
}

/// What follows the fixed part of a type, by kind.
fn tail_bytes(found: Type) -> Option<usize> {
    let entries = found.entries();
    Some(match found.kind() {
        // Integers, variables, declaration tags.
        1 | 14 | 17 => 4,
        // Pointers, forward declarations, typedefs, qualifiers, functions, floats, type tags.
        2 | 7..=12 | 16 | 18 => 0,
        3 => 12,
        // Structs, unions, data sections, 64-bit enumerations.
        4 | 5 | 15 | 19 => 12 * entries,
        // Enumerations, function prototypes.
        6 | 13 => 8 * entries,
        _ => return None,
    })
}

fn read_type(bytes: &[u8], at: usize) -> Option<Type> {
    Some(Type {
        at,
        name: read_u32(bytes, at)?,
        info: read_u32(bytes, at.checked_add(4)?)?,
        link: read_u32(bytes, at.checked_add(8)?)?,
    })
}

fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    let field = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(field.try_into().ok()?))
}
