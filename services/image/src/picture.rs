//! A picture in memory.

/// Longest side, in pixels.
pub(crate) const SIDE_MAX: u32 = 8192;
/// Most pixels: what the memory of one execution holds, with everything that decoding needs.
pub(crate) const PIXELS_MAX: u64 = 12_000_000;

/// Why there is no result.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It is no picture that can be read.
    Unreadable(String),
    /// It has more pixels than are decoded, or gives more bytes than are returned.
    TooLarge(String),
}

/// What the samples of one pixel are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Channels {
    Gray,
    GrayAlpha,
    Rgb,
    Rgba,
}

impl Channels {
    /// How many samples a pixel has.
    pub(crate) const fn count(self) -> usize {
        match self {
            Self::Gray => 1,
            Self::GrayAlpha => 2,
            Self::Rgb => 3,
            Self::Rgba => 4,
        }
    }

    /// Whether the last sample says how opaque the pixel is.
    pub(crate) const fn has_alpha(self) -> bool {
        matches!(self, Self::GrayAlpha | Self::Rgba)
    }
}

/// Rows from the top, pixels from the left, samples of 8 bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Picture {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) channels: Channels,
    pub(crate) samples: Vec<u8>,
}

impl Picture {
    /// The samples, if they are as many as the size says.
    pub(crate) fn new(
        (width, height): (u32, u32),
        channels: Channels,
        samples: Vec<u8>,
    ) -> Result<Self, Trouble> {
        let expected = width as usize * height as usize * channels.count();
        if samples.len() != expected || expected == 0 {
            return Err(Trouble::Unreadable("the picture ends before its last pixel".into()));
        }
        Ok(Self { width, height, channels, samples })
    }
}

/// Refuses what would take more memory or fuel than there is, before it is decoded.
pub(crate) fn bounded(width: u32, height: u32) -> Result<(), Trouble> {
    let pixels = u64::from(width) * u64::from(height);
    if width > SIDE_MAX || height > SIDE_MAX || pixels > PIXELS_MAX {
        return Err(Trouble::TooLarge(format!(
            "{width} × {height} pixels: at most {PIXELS_MAX}, {SIDE_MAX} a side"
        )));
    }
    Ok(())
}
