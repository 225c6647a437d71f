//! Makes a picture smaller: each pixel of the result is the average of the area that it covers.
//!
//! Rows first, then columns. Between the passes samples have 16 bits; colours are multiplied with
//! their opacity, so that what is transparent does not shine through.

use crate::picture::{Channels, Picture};

/// Fits a picture into a box; one that fits is left as it is.
pub(crate) fn fit(picture: Picture, width: u32, height: Option<u32>) -> Picture {
    let size = fitted((picture.width, picture.height), width, height.unwrap_or(u32::MAX));
    if size == (picture.width, picture.height) {
        return picture;
    }
    let channels = picture.channels;
    let count = channels.count();
    let columns = parts(picture.width as usize, size.0 as usize);
    let rows: Vec<&[u8]> = picture.samples.chunks_exact(picture.width as usize * count).collect();
    // Row by row: no more than one of them is held with 16 bits.
    let mut narrow = Narrow { row: None, samples: Vec::new() };
    let mut sums = vec![0_u64; size.0 as usize * count];
    let mut samples = Vec::with_capacity(size.1 as usize * sums.len());
    for (first, weights) in parts(rows.len(), size.1 as usize) {
        sums.fill(0);
        for (row, weight) in (first..).zip(weights) {
            narrow.take(row, rows[row], &columns, channels);
            for (sum, sample) in sums.iter_mut().zip(&narrow.samples) {
                *sum += u64::from(*sample) * u64::from(weight);
            }
        }
        let averages: Vec<u16> = sums.iter().map(|sum| average(*sum, rows.len())).collect();
        lower(&averages, channels, &mut samples);
    }
    Picture { width: size.0, height: size.1, channels, samples }
}

/// A row that is as wide as the result; neighbours in the result may share one.
struct Narrow {
    row: Option<usize>,
    samples: Vec<u16>,
}

impl Narrow {
    fn take(&mut self, row: usize, wide: &[u8], columns: &[Part], channels: Channels) {
        if self.row == Some(row) {
            return;
        }
        self.row = Some(row);
        self.samples.clear();
        let count = channels.count();
        let wide = lifted(wide, channels);
        for (first, weights) in columns {
            let mut sums = [0_u64; 4];
            for (pixel, weight) in wide[first * count..].chunks_exact(count).zip(weights) {
                for (sum, sample) in sums.iter_mut().zip(pixel) {
                    *sum += u64::from(*sample) * u64::from(*weight);
                }
            }
            let from = wide.len() / count;
            self.samples.extend(sums.iter().take(count).map(|sum| average(*sum, from)));
        }
    }
}

/// The largest size in the box with the same proportions.
fn fitted((width, height): (u32, u32), box_width: u32, box_height: u32) -> (u32, u32) {
    if width <= box_width && height <= box_height {
        return (width, height);
    }
    let (w, h) = (u64::from(width), u64::from(height));
    let (most_w, most_h) = (u64::from(box_width), u64::from(box_height));
    let side = |value: u64, bound: u32| u32::try_from(value.max(1)).unwrap_or(bound).min(bound);
    if w * most_h < h * most_w {
        (side((w * most_h + h / 2) / h, box_width), box_height)
    } else {
        (box_width, side((h * most_w + w / 2) / w, box_height))
    }
}

/// Samples of 16 bits; with opacity, colour × opacity and opacity × 255.
fn lifted(samples: &[u8], channels: Channels) -> Vec<u16> {
    if !channels.has_alpha() {
        return samples.iter().map(|sample| u16::from(*sample) * 257).collect();
    }
    let mut lifted = Vec::with_capacity(samples.len());
    for pixel in samples.chunks_exact(channels.count()) {
        if let Some((alpha, colours)) = pixel.split_last() {
            let alpha = u16::from(*alpha);
            lifted.extend(colours.iter().map(|colour| u16::from(*colour) * alpha));
            lifted.push(alpha * 255);
        }
    }
    lifted
}

/// Back to 8 bits.
fn lower(samples: &[u16], channels: Channels, lowered: &mut Vec<u8>) {
    let byte = |value: u32| u8::try_from(value).unwrap_or(u8::MAX);
    if !channels.has_alpha() {
        lowered.extend(samples.iter().map(|sample| byte((u32::from(*sample) + 128) / 257)));
        return;
    }
    for pixel in samples.chunks_exact(channels.count()) {
        if let Some((alpha, colours)) = pixel.split_last() {
            let alpha = u32::from(*alpha);
            lowered.extend(colours.iter().map(|colour| {
                byte((u32::from(*colour) * 255 + alpha / 2).checked_div(alpha).unwrap_or(0))
            }));
            lowered.push(byte((alpha + 127) / 255));
        }
    }
}

/// What one place of the result is made of: the first source, and the weight of each from there.
type Part = (usize, Vec<u32>);

/// What each place of the result is made of.
///
/// In units in which a source is `to` wide and a result `from`, so that all weights are whole.
fn parts(from: usize, to: usize) -> Vec<Part> {
    (0..to)
        .map(|place| {
            let (begin, end) = (place * from, (place + 1) * from);
            let first = begin / to;
            let last = end.div_ceil(to);
            let weight = |source: usize| {
                let overlap = end.min((source + 1) * to) - begin.max(source * to);
                u32::try_from(overlap).unwrap_or(u32::MAX)
            };
            (first, (first..last).map(weight).collect())
        })
        .collect()
}

/// A sum of weighted samples, divided by all weights.
fn average(sum: u64, weights: usize) -> u16 {
    let weights = weights as u64;
    u16::try_from((sum + weights / 2) / weights).unwrap_or(u16::MAX)
}
