//! What a component's sections announce, held to what they hold.
//!
//! The compiler reserves memory for as many entries as a section announces, before it reads them: a
//! component of fifteen bytes could take hundreds of megabytes. An entry has a byte at least, so a
//! section with more entries than bytes is refused beforehand. Everything else about the format is the
//! compiler's to judge.

const PREAMBLE_BYTES: usize = 8;
/// How deep components may lie in components; the compiler allows fewer.
const DEPTH_MAX: u32 = 100;

/// Sections of components that hold modules and components.
const MODULE: u8 = 1;
const COMPONENT: u8 = 4;
/// Sections that do not begin with a count: of both, of components, of modules.
const CUSTOM: u8 = 0;
const START_OF_COMPONENT: u8 = 9;
const START_OF_MODULE: u8 = 8;
/// Announces entries of another section.
const DATA_COUNT: u8 = 12;

/// False if some section announces more entries than it can hold.
pub(crate) fn is_plausible(component: &[u8]) -> bool {
    component_is_plausible(component, DEPTH_MAX)
}

fn component_is_plausible(bytes: &[u8], depth: u32) -> bool {
    let Some(depth) = depth.checked_sub(1) else { return false };
    sections(bytes).all(|(id, content)| match id {
        CUSTOM | START_OF_COMPONENT => true,
        MODULE => module_is_plausible(content),
        COMPONENT => component_is_plausible(content, depth),
        _ => holds(content, content.len()),
    })
}

fn module_is_plausible(bytes: &[u8]) -> bool {
    sections(bytes).all(|(id, content)| match id {
        CUSTOM | START_OF_MODULE => true,
        DATA_COUNT => holds(content, bytes.len()),
        _ => holds(content, content.len()),
    })
}

/// Whether the count at the beginning is at most `most`; what is no count is refused elsewhere.
fn holds(content: &[u8], most: usize) -> bool {
    number(content).is_none_or(|(count, _)| usize::try_from(count).is_ok_and(|count| count <= most))
}

/// The sections behind the preamble, up to where they are garbled.
fn sections(bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = bytes.get(PREAMBLE_BYTES..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (id, behind) = rest.split_first()?;
        let (length, behind) = number(behind)?;
        // One that is cut off is looked at as far as it goes.
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(behind.len());
        let (content, behind) = behind.split_at(length);
        rest = behind;
        Some((*id, content))
    })
}

/// A LEB128 number of 32 bits, and what comes after it.
fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let mut number = 0_u32;
    for (place, byte) in bytes.iter().enumerate().take(5) {
        let shift = u32::try_from(7 * place).ok()?;
        number |= u32::from(byte & 0x7f).wrapping_shl(shift);
        if byte & 0x80 == 0 {
            return Some((number, bytes.get(place + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
    const MODULE: &[u8] = b"\0asm\x01\0\0\0";
    /// 999,999 in LEB128, and no entries.
    const MANY: &[u8] = &[0xbf, 0x84, 0x3d];

    fn section(id: u8, content: &[u8]) -> Vec<u8> {
        [&[id, u8::try_from(content.len()).unwrap()], content].concat()
    }

    fn of(begin: &[u8], id: u8, content: &[u8]) -> Vec<u8> {
        [begin, &section(id, content)].concat()
    }

    #[test]
    fn a_section_that_announces_more_than_it_holds_is_found_wherever_it_is() {
        for id in [2, 3, 5, 6, 7, 8, 10, 11] {
            let component = of(COMPONENT, id, MANY);
            assert!(!is_plausible(&component), "section {id} of a component");
            let around = of(COMPONENT, 4, &component);
            assert!(!is_plausible(&around), "section {id} of a component in a component");
        }
        for id in [1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13] {
            let component = of(COMPONENT, 1, &of(MODULE, id, MANY));
            assert!(!is_plausible(&component), "section {id} of a module");
        }
    }

    #[test]
    fn what_does_not_count_and_what_is_garbled_is_left_to_the_compiler() {
        for id in [0, 9] {
            assert!(is_plausible(&of(COMPONENT, id, MANY)));
        }
        assert!(is_plausible(&of(COMPONENT, 1, &of(MODULE, 8, MANY))));
        for bytes in
            [&b""[..], COMPONENT, b"\0asm\x0d\0\x01\0\x07", b"\0asm\x0d\0\x01\0\x07\xff\xff"]
        {
            assert!(is_plausible(bytes));
        }
        assert!(is_plausible(&of(COMPONENT, 7, &[2, 0x70, 0x7d, 0x73])));
    }

    #[test]
    fn nesting_has_an_end() {
        let mut component = COMPONENT.to_vec();
        for _ in 0..8 {
            component = of(COMPONENT, 4, &component);
        }
        assert!(is_plausible(&component));
        // Lengths of many bytes, as deep as they go.
        for _ in 0..200 {
            let length = u32::try_from(component.len()).unwrap();
            let leb = (0..5).map(|n| {
                let more = if n < 4 { 0x80 } else { 0 };
                (length >> (7 * n)).to_le_bytes()[0] & 0x7f | more
            });
            let header: Vec<u8> = [4].into_iter().chain(leb).collect();
            component = [COMPONENT, &header, &component].concat();
        }
        assert!(!is_plausible(&component));
    }
}
