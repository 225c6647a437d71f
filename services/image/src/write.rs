//! From a picture to the bytes of a file.

use jpeg_encoder::{ColorType, Encoder};
use serde::{Deserialize, Serialize};

use crate::picture::{Channels, Picture, Trouble};

/// Largest result in bytes: in base64 it fits into another task's input.
pub(crate) const BYTES_MAX: usize = 768 << 10;
/// The quality of a JPEG that nobody asked to be small.
pub(crate) const FINE: u8 = 90;

/// What a picture is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    Jpeg,
    Png,
}

/// Writes a picture; `quality`, from 1 to 100, is for JPEG.
pub(crate) fn write(picture: &Picture, format: Format, quality: u8) -> Result<Vec<u8>, Trouble> {
    let bytes = match format {
        Format::Jpeg => jpeg(picture, quality),
        Format::Png => png(picture),
    }?;
    if bytes.len() > BYTES_MAX {
        let length = bytes.len();
        return Err(Trouble::TooLarge(format!("{length} bytes come out: at most {BYTES_MAX}")));
    }
    Ok(bytes)
}

fn png(picture: &Picture) -> Result<Vec<u8>, Trouble> {
    let unwritable = |error: png::EncodingError| Trouble::Unreadable(format!("PNG: {error}"));
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, picture.width, picture.height);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_color(match picture.channels {
        Channels::Gray => png::ColorType::Grayscale,
        Channels::GrayAlpha => png::ColorType::GrayscaleAlpha,
        Channels::Rgb => png::ColorType::Rgb,
        Channels::Rgba => png::ColorType::Rgba,
    });
    let mut writer = encoder.write_header().map_err(unwritable)?;
    writer.write_image_data(&picture.samples).map_err(unwritable)?;
    writer.finish().map_err(unwritable)?;
    Ok(bytes)
}

fn jpeg(picture: &Picture, quality: u8) -> Result<Vec<u8>, Trouble> {
    let unwritable = |reason: String| Trouble::Unreadable(format!("JPEG: {reason}"));
    let side = |side: u32| u16::try_from(side).map_err(|error| unwritable(error.to_string()));
    let (width, height) = (side(picture.width)?, side(picture.height)?);
    let flat;
    let (samples, kind) = match picture.channels {
        Channels::Gray => (&picture.samples, ColorType::Luma),
        Channels::Rgb => (&picture.samples, ColorType::Rgb),
        Channels::GrayAlpha => {
            flat = on_white(picture);
            (&flat, ColorType::Luma)
        }
        Channels::Rgba => {
            flat = on_white(picture);
            (&flat, ColorType::Rgb)
        }
    };
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, quality.clamp(1, 100));
    encoder.set_optimized_huffman_tables(true);
    let done = encoder.encode(samples, width, height, kind);
    done.map_err(|error| unwritable(error.to_string()))?;
    Ok(bytes)
}

/// The colours as they look on a white page.
fn on_white(picture: &Picture) -> Vec<u8> {
    let mut flat = Vec::with_capacity(picture.samples.len());
    for pixel in picture.samples.chunks_exact(picture.channels.count()) {
        if let Some((alpha, colours)) = pixel.split_last() {
            let alpha = u16::from(*alpha);
            flat.extend(colours.iter().map(|colour| {
                let shown = u16::from(*colour) * alpha + 255 * (255 - alpha);
                u8::try_from((shown + 127) / 255).unwrap_or(u8::MAX)
            }));
        }
    }
    flat
}
