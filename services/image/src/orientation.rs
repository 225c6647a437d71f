//! How a camera was held: the tag `Orientation` of Exif 2.32 (TIFF 6.0, tag 0x0112).
//!
//! A result carries no Exif, so what the tag says is done to the pixels.

use crate::picture::Picture;

const TAG: u16 = 0x0112;
/// Most entries of a directory that are looked at.
const ENTRIES_MAX: usize = 256;

/// The value of the tag, from 1 (upright) to 8; 1 where it is missing or damaged.
pub(crate) fn of(exif: &[u8]) -> u8 {
    find(exif).filter(|value| (1..=8).contains(value)).unwrap_or(1)
}

fn find(exif: &[u8]) -> Option<u8> {
    let little = match exif.get(..4)? {
        [b'I', b'I', 42, 0] => true,
        [b'M', b'M', 0, 42] => false,
        _ => return None,
    };
    let two = |at: usize| -> Option<u16> {
        let bytes = exif.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    };
    let four = |at: usize| -> Option<u32> {
        let bytes = exif.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    };
    let directory = four(4)? as usize;
    let entries = usize::from(two(directory)?).min(ENTRIES_MAX);
    for entry in 0..entries {
        let at = directory.checked_add(2)?.checked_add(entry * 12)?;
        if two(at)? == TAG {
            return u8::try_from(two(at.checked_add(8)?)?).ok();
        }
    }
    None
}

/// Turns and mirrors a picture as the tag says.
pub(crate) fn upright(picture: Picture, turn: u8) -> Picture {
    if turn <= 1 {
        return picture;
    }
    let (width, height) = (picture.width as usize, picture.height as usize);
    let swapped = turn >= 5;
    let (wide, high) = if swapped { (height, width) } else { (width, height) };
    let count = picture.channels.count();
    let mut samples = Vec::with_capacity(picture.samples.len());
    for y in 0..high {
        for x in 0..wide {
            let (left, top) = match turn {
                2 => (width - 1 - x, y),
                3 => (width - 1 - x, height - 1 - y),
                4 => (x, height - 1 - y),
                5 => (y, x),
                6 => (y, height - 1 - x),
                7 => (width - 1 - y, height - 1 - x),
                8 => (width - 1 - y, x),
                _ => (x, y),
            };
            let at = (top * width + left) * count;
            samples.extend_from_slice(&picture.samples[at..at + count]);
        }
    }
    let (width, height) =
        if swapped { (picture.height, picture.width) } else { (picture.width, picture.height) };
    Picture { width, height, channels: picture.channels, samples }
}
