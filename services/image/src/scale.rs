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
    let channels = picture.channels.count();
    let wide = lifted(&picture);
    let (from, to) = (picture.width as usize, size.0 as usize);
    let narrow = across(&wide, picture.height as usize, (from, to), channels);
    let (from, to) = (picture.height as usize, size.1 as usize);
    let small = down(&narrow, size.0 as usize * channels, (from, to));
    let samples = lowered(&small, picture.channels);
    Picture { width: size.0, height: size.1, channels: picture.channels, samples }
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
fn lifted(picture: &Picture) -> Vec<u16> {
    if !picture.channels.has_alpha() {
        return picture.samples.iter().map(|sample| u16::from(*sample) * 257).collect();
    }
    let mut lifted = Vec::with_capacity(picture.samples.len());
    for pixel in picture.samples.chunks_exact(picture.channels.count()) {
        if let Some((alpha, colours)) = pixel.split_last() {
            let alpha = u16::from(*alpha);
            lifted.extend(colours.iter().map(|colour| u16::from(*colour) * alpha));
            lifted.push(alpha * 255);
        }
    }
    lifted
}

fn lowered(samples: &[u16], channels: Channels) -> Vec<u8> {
    let byte = |value: u32| u8::try_from(value).unwrap_or(u8::MAX);
    if !channels.has_alpha() {
        return samples.iter().map(|sample| byte((u32::from(*sample) + 128) / 257)).collect();
    }
    let mut lowered = Vec::with_capacity(samples.len());
    for pixel in samples.chunks_exact(channels.count()) {
        if let Some((alpha, colours)) = pixel.split_last() {
            let alpha = u32::from(*alpha);
            lowered.extend(colours.iter().map(|colour| {
                byte((u32::from(*colour) * 255 + alpha / 2).checked_div(alpha).unwrap_or(0))
            }));
            lowered.push(byte((alpha + 127) / 255));
        }
    }
    lowered
}

/// What each place of the result is made of: the first source, and the weight of each from there.
///
/// In units in which a source is `to` wide and a result `from`, so that all weights are whole.
fn parts(from: usize, to: usize) -> Vec<(usize, Vec<u32>)> {
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

fn across(samples: &[u16], rows: usize, (from, to): (usize, usize), channels: usize) -> Vec<u16> {
    let parts = parts(from, to);
    let mut result = Vec::with_capacity(rows * to * channels);
    for row in samples.chunks_exact(from * channels) {
        for (first, weights) in &parts {
            let mut sums = [0_u64; 4];
            let pixels = row[first * channels..].chunks_exact(channels);
            for (pixel, weight) in pixels.zip(weights) {
                for (sum, sample) in sums.iter_mut().zip(pixel) {
                    *sum += u64::from(*sample) * u64::from(*weight);
                }
            }
            result.extend(sums.iter().take(channels).map(|sum| average(*sum, from)));
        }
    }
    result
}

fn down(samples: &[u16], row: usize, (from, to): (usize, usize)) -> Vec<u16> {
    let mut result = Vec::with_capacity(to * row);
    let mut sums = vec![0_u64; row];
    for (first, weights) in parts(from, to) {
        sums.fill(0);
        let rows = samples[first * row..].chunks_exact(row);
        for (samples, weight) in rows.zip(weights) {
            for (sum, sample) in sums.iter_mut().zip(samples) {
                *sum += u64::from(*sample) * u64::from(weight);
            }
        }
        result.extend(sums.iter().map(|sum| average(*sum, from)));
    }
    result
}
