//! Makes pictures smaller: `resize` fits one into a box, `compress` writes it as JPEG.
//!
//! ```text
//!   base64 ──► read (PNG, JPEG, upright) ──► Picture ──► scale ──► write (PNG, JPEG) ──► base64
//! ```
//!
//! - Units: pixels; samples of 8 bits. A picture has at most [`picture::PIXELS_MAX`] of them, a result
//!   at most [`write::BYTES_MAX`], so that it fits into another task's input.
//! - Errors: whatever a picture is, the task ends with a status: `unreadable`, or `too_large`.
//! - Invariants: sizes are checked before anything is decoded, so that no picture takes more memory
//!   or fuel than the largest honest one; pixels are computed with integers.

mod orientation;
mod picture;
mod read;
mod scale;
mod write;

use althing_sdk::{GaveUp, Inputs, Outcome, Service};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use picture::Trouble;
use serde::{Deserialize, Serialize};
use write::Format;

/// The service.
#[derive(Debug)]
pub struct Image;

#[derive(Deserialize)]
struct Resize {
    picture: String,
    width: u32,
    height: Option<u32>,
    format: Option<Format>,
}

#[derive(Deserialize)]
struct Compress {
    picture: String,
    quality: u8,
}

#[derive(Serialize)]
struct Made {
    picture: String,
    format: Format,
    width: u32,
    height: u32,
    bytes: usize,
}

#[derive(Serialize)]
struct Reason {
    reason: String,
}

impl Service for Image {
    fn task(name: &str, inputs: Inputs<'_>) -> Result<Outcome, GaveUp> {
        let made = match name {
            "resize" => resize(&inputs.read()?),
            "compress" => compress(&inputs.read()?),
            _ => return Err(GaveUp::unknown_task(name)),
        };
        match made {
            Ok(made) => Outcome::new("ok", &made),
            Err(Trouble::Unreadable(reason)) => Outcome::new("unreadable", &Reason { reason }),
            Err(Trouble::TooLarge(reason)) => Outcome::new("too_large", &Reason { reason }),
        }
    }
}

althing_sdk::service!(Image);

fn bytes(picture: &str) -> Result<Vec<u8>, Trouble> {
    STANDARD
        .decode(picture)
        .map_err(|error| Trouble::Unreadable(format!("the picture is not base64: {error}")))
}

fn resize(asked: &Resize) -> Result<Made, Trouble> {
    let (picture, came_as) = read::read(&bytes(&asked.picture)?)?;
    let picture = scale::fit(picture, asked.width, asked.height);
    made(&picture, asked.format.unwrap_or(came_as), write::FINE)
}

fn compress(asked: &Compress) -> Result<Made, Trouble> {
    let (picture, _) = read::read(&bytes(&asked.picture)?)?;
    made(&picture, Format::Jpeg, asked.quality)
}

fn made(picture: &picture::Picture, format: Format, quality: u8) -> Result<Made, Trouble> {
    let bytes = write::write(picture, format, quality)?;
    Ok(Made {
        picture: STANDARD.encode(&bytes),
        format,
        width: picture.width,
        height: picture.height,
        bytes: bytes.len(),
    })
}

#[cfg(test)]
mod tests;
