//! From the bytes of a file to a picture that stands upright.

use std::io::Cursor;

use jpeg_decoder::PixelFormat;
use png::{ColorType, Limits, Transformations};

use crate::orientation;
use crate::picture::{Channels, PIXELS_MAX, Picture, Trouble, bounded};
use crate::write::Format;

/// What a PNG may make the decoder hold beside the picture, in bytes.
const PNG_BYTES_MAX: usize = 64 << 20;
/// Passes of a progressive JPEG: each is work for every pixel, however short it is.
const SCANS_MAX: usize = 64;
/// How a pass begins.
const SCAN: [u8; 2] = [0xff, 0xda];
/// The samples of a picture that is not refused.
const JPEG_BYTES_MAX: usize = 3 * PIXELS_MAX as usize;

/// Reads a PNG or a JPEG, by its first bytes.
pub(crate) fn read(bytes: &[u8]) -> Result<(Picture, Format), Trouble> {
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => Ok((png(bytes)?, Format::Png)),
        [0xff, 0xd8, 0xff, ..] => Ok((jpeg(bytes)?, Format::Jpeg)),
        _ => Err(Trouble::Unreadable("neither a PNG nor a JPEG".into())),
    }
}

fn png(bytes: &[u8]) -> Result<Picture, Trouble> {
    let unreadable = |error: png::DecodingError| Trouble::Unreadable(format!("PNG: {error}"));
    let limits = Limits { bytes: PNG_BYTES_MAX };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), limits);
    decoder.set_transformations(Transformations::normalize_to_color8());
    // They may be long, compressed, and are not kept.
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let size = decoder.read_header_info().map_err(unreadable)?.size();
    bounded(size.0, size.1)?;
    let mut reader = decoder.read_info().map_err(unreadable)?;
    let length = reader.output_buffer_size().unwrap_or_default();
    let mut samples = vec![0; length];
    let frame = reader.next_frame(&mut samples).map_err(unreadable)?;
    samples.truncate(frame.buffer_size());
    let channels = match frame.color_type {
        ColorType::Grayscale => Channels::Gray,
        ColorType::GrayscaleAlpha => Channels::GrayAlpha,
        ColorType::Rgb => Channels::Rgb,
        ColorType::Rgba => Channels::Rgba,
        ColorType::Indexed => {
            return Err(Trouble::Unreadable("PNG: a palette was not expanded".into()));
        }
    };
    Picture::new(size, channels, samples)
}

fn jpeg(bytes: &[u8]) -> Result<Picture, Trouble> {
    let unreadable = |error: jpeg_decoder::Error| Trouble::Unreadable(format!("JPEG: {error}"));
    // Some may lie in a thumbnail: this many are enough for those too.
    if bytes.windows(2).filter(|pair| *pair == SCAN).count() > SCANS_MAX {
        return Err(Trouble::Unreadable(format!("JPEG with more than {SCANS_MAX} scans")));
    }
    let mut decoder = jpeg_decoder::Decoder::new(bytes);
    decoder.set_max_decoding_buffer_size(JPEG_BYTES_MAX);
    decoder.read_info().map_err(unreadable)?;
    let info = decoder.info().ok_or_else(|| Trouble::Unreadable("JPEG without a size".into()))?;
    let size = (u32::from(info.width), u32::from(info.height));
    bounded(size.0, size.1)?;
    let channels = match info.pixel_format {
        PixelFormat::L8 => Channels::Gray,
        PixelFormat::RGB24 => Channels::Rgb,
        PixelFormat::L16 | PixelFormat::CMYK32 => {
            return Err(Trouble::Unreadable("JPEG in 16 bits or four inks".into()));
        }
    };
    let samples = decoder.decode().map_err(unreadable)?;
    let turn = decoder.exif_data().map_or(1, orientation::of);
    Ok(orientation::upright(Picture::new(size, channels, samples)?, turn))
}
