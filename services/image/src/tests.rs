use althing_sdk::serde_json::{Value, from_slice, json};

use super::*;
use crate::picture::{Channels, PIXELS_MAX, Picture};

/// A small generator with a fixed seed: the same pictures in every run.
struct Dice(u64);

impl Dice {
    fn byte(&mut self) -> u8 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 56) as u8
    }
}

/// A sky above a sea, with a sun: smooth, as photographs are.
fn landscape(width: u32, height: u32) -> Picture {
    let mut samples = Vec::new();
    for y in 0..height {
        for x in 0..width {
            let (right, low) = (x * 255 / width, y * 255 / height);
            let sun = (x * 4 / width, y * 4 / height) == (2, 1);
            let pixel = if sun { [255, 220, 40] } else { [low, 90 + right / 4, 255 - low] };
            samples.extend(pixel.map(|sample| sample as u8));
        }
    }
    Picture::new((width, height), Channels::Rgb, samples).unwrap()
}

fn noise(width: u32, height: u32) -> Picture {
    let mut dice = Dice(7);
    let samples = (0..width * height * 3).map(|_| dice.byte()).collect();
    Picture::new((width, height), Channels::Rgb, samples).unwrap()
}

fn written(picture: &Picture, format: Format) -> Vec<u8> {
    write::write(picture, format, 95).unwrap()
}

fn task(name: &str, input: &Value) -> (String, Value) {
    let input = input.to_string();
    let outcome = Image::task(name, Inputs::from_json(input.as_bytes())).unwrap();
    (outcome.status, from_slice(&outcome.outputs).unwrap())
}

fn resized(bytes: &[u8], width: u32) -> (String, Value) {
    task("resize", &json!({ "picture": STANDARD.encode(bytes), "width": width }))
}

fn seen(output: &Value) -> Picture {
    let bytes = STANDARD.decode(output["picture"].as_str().unwrap()).unwrap();
    assert_eq!(output["bytes"], bytes.len());
    let (picture, _) = read::read(&bytes).unwrap();
    assert_eq!(
        (output["width"].as_u64(), output["height"].as_u64()),
        (Some(picture.width.into()), Some(picture.height.into()))
    );
    picture
}

/// How far two pictures are apart, on average over their samples.
fn distance(one: &Picture, other: &Picture) -> u32 {
    assert_eq!((one.width, one.height, one.channels), (other.width, other.height, other.channels));
    let sum: u32 =
        one.samples.iter().zip(&other.samples).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
    sum / u32::try_from(one.samples.len()).unwrap()
}

#[test]
fn a_picture_is_fitted_into_its_box_and_keeps_its_proportions() {
    let png = written(&landscape(120, 80), Format::Png);
    let picture = STANDARD.encode(&png);
    for (width, height, expected) in [
        (60, None, (60, 40)),
        (60, Some(100), (60, 40)),
        (60, Some(20), (30, 20)),
        (7, None, (7, 5)),
        (1, Some(1), (1, 1)),
        // It is never enlarged.
        (500, None, (120, 80)),
        (120, Some(80), (120, 80)),
    ] {
        let (status, output) =
            task("resize", &json!({ "picture": picture, "width": width, "height": height }));
        assert_eq!((status.as_str(), &output["format"]), ("ok", &json!("png")), "{output}");
        let small = seen(&output);
        assert_eq!((small.width, small.height), expected);
    }
}

#[test]
fn each_pixel_is_the_average_of_what_it_covers() {
    let big = noise(60, 42);
    let small = scale::fit(big.clone(), 20, None);
    assert_eq!((small.width, small.height), (20, 14));
    for y in 0..14 {
        for x in 0..20 {
            for channel in 0..3 {
                let covered = (0..9).map(|place| {
                    let (right, low) = (x * 3 + place % 3, y * 3 + place / 3);
                    u32::from(big.samples[(low * 60 + right) * 3 + channel])
                });
                let exact = (covered.sum::<u32>() * 2 + 9) / 18;
                let found = u32::from(small.samples[(y * 20 + x) * 3 + channel]);
                assert!(exact.abs_diff(found) <= 1, "{x} {y}: {found}, not {exact}");
            }
        }
    }
}

#[test]
fn a_picture_of_one_colour_keeps_it_at_every_size() {
    for channels in [Channels::Gray, Channels::GrayAlpha, Channels::Rgb, Channels::Rgba] {
        let pixel = &[17, 203, 99, 128][4 - channels.count()..];
        let plain = Picture::new((97, 31), channels, pixel.repeat(97 * 31)).unwrap();
        for width in [96, 50, 13, 1] {
            let small = scale::fit(plain.clone(), width, None);
            assert!(small.samples.chunks(pixel.len()).all(|found| found == pixel), "{channels:?}");
        }
    }
}

#[test]
fn what_is_transparent_does_not_shine_through() {
    // Every second column is a red that nobody sees.
    let columns = [[255, 0, 0, 0], [0, 0, 200, 255]].concat();
    let striped = Picture::new((40, 10), Channels::Rgba, columns.repeat(20 * 10)).unwrap();
    let small = scale::fit(striped.clone(), 20, None);
    assert!(small.samples.chunks(4).all(|pixel| pixel == [0, 0, 200, 128]), "{:?}", small.samples);
    let (_, output) = task(
        "compress",
        &json!({ "picture": STANDARD.encode(written(&striped, Format::Png)), "quality": 100 }),
    );
    // As JPEG has no opacity it is seen on white.
    let first = seen(&output).samples[..3].to_vec();
    assert!(first.iter().all(|sample| *sample > 200), "{first:?}");
}

#[test]
fn every_kind_of_png_is_read() {
    let kinds = [
        (png::ColorType::Grayscale, png::BitDepth::One, vec![0xff; 8], [255, 255, 255]),
        (png::ColorType::Grayscale, png::BitDepth::Sixteen, [200, 1].repeat(64), [200, 200, 200]),
        (
            png::ColorType::Rgb,
            png::BitDepth::Sixteen,
            [9, 9, 99, 0, 255, 1].repeat(64),
            [9, 99, 255],
        ),
        (png::ColorType::Indexed, png::BitDepth::Eight, vec![1; 64], [4, 5, 6]),
        (png::ColorType::GrayscaleAlpha, png::BitDepth::Eight, [50, 255].repeat(64), [50, 50, 50]),
    ];
    for (color, depth, data, expected) in kinds {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 8, 8);
        encoder.set_color(color);
        encoder.set_depth(depth);
        if color == png::ColorType::Indexed {
            encoder.set_palette(vec![1, 2, 3, 4, 5, 6]);
        }
        encoder.write_header().unwrap().write_image_data(&data).unwrap();
        let (status, output) =
            task("compress", &json!({ "picture": STANDARD.encode(&bytes), "quality": 100 }));
        assert_eq!(status, "ok", "{color:?} {depth:?}: {output}");
        let found = seen(&output);
        let first = match found.channels {
            Channels::Gray => [found.samples[0]; 3],
            _ => [found.samples[0], found.samples[1], found.samples[2]],
        };
        assert!(
            first.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= 3),
            "{color:?}: {first:?}"
        );
    }
}

#[test]
fn a_jpeg_looks_as_before_and_costs_less_at_less_quality() {
    let before = landscape(300, 200);
    let jpeg = STANDARD.encode(written(&before, Format::Jpeg));
    let mut lengths = Vec::new();
    for quality in [95, 60, 20] {
        let (status, output) = task("compress", &json!({ "picture": jpeg, "quality": quality }));
        assert_eq!((status.as_str(), &output["format"]), ("ok", &json!("jpeg")));
        let far = distance(&before, &seen(&output));
        assert!(far <= 3, "quality {quality}: {far}");
        lengths.push(output["bytes"].as_u64().unwrap());
    }
    assert!(lengths.is_sorted_by(|more, less| more > less), "{lengths:?}");
    let (_, output) = task("resize", &json!({ "picture": jpeg, "width": 100, "format": "png" }));
    assert!(distance(&scale::fit(before, 100, None), &seen(&output)) <= 3);
}

#[test]
fn a_picture_is_turned_as_its_camera_was_held() {
    // The upper left quarter is dark.
    let mut marked = landscape(64, 32);
    for y in 0..16 {
        for x in 0..32 {
            marked.samples[(y * 64 + x) * 3..][..3].fill(0);
        }
    }
    for (tag, size, corner) in [
        (1, (64, 32), (0, 0)),
        (2, (64, 32), (1, 0)),
        (3, (64, 32), (1, 1)),
        (4, (64, 32), (0, 1)),
        (5, (32, 64), (0, 0)),
        (6, (32, 64), (1, 0)),
        (7, (32, 64), (1, 1)),
        (8, (32, 64), (0, 1)),
    ] {
        for exif in [exif(tag, true), exif(tag, false)] {
            let mut bytes = Vec::new();
            let mut encoder = jpeg_encoder::Encoder::new(&mut bytes, 100);
            encoder.add_exif_metadata(&exif).unwrap();
            encoder.encode(&marked.samples, 64, 32, jpeg_encoder::ColorType::Rgb).unwrap();
            let (upright, _) = read::read(&bytes).unwrap();
            assert_eq!((upright.width, upright.height), size, "orientation {tag}");
            let (right, low) = (upright.width / 4, upright.height / 4);
            let at = ((low + corner.1 * 2 * low) * upright.width + right + corner.0 * 2 * right)
                as usize;
            let pixel = &upright.samples[at * 3..][..3];
            assert!(pixel.iter().all(|sample| *sample < 40), "orientation {tag}: {pixel:?}");
        }
    }
    assert_eq!(orientation::of(b"II*\0\xff\xff\xff\xff"), 1, "a directory far away");
}

fn exif(tag: u16, little: bool) -> Vec<u8> {
    let two = |value: u16| if little { value.to_le_bytes() } else { value.to_be_bytes() };
    let four = |value: u32| if little { value.to_le_bytes() } else { value.to_be_bytes() };
    let mut exif = if little { b"II".to_vec() } else { b"MM".to_vec() };
    exif.extend(two(42));
    exif.extend(four(8));
    exif.extend(two(1));
    for half in [two(0x0112), two(3), two(0), two(0)] {
        exif.extend(half);
    }
    // The count is one; written above as zero, it is not looked at.
    exif.extend(two(tag));
    exif.extend(two(0));
    exif.extend(four(0));
    exif
}

/// A PNG of any size with any compressed data.
fn forged(width: u32, height: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
    header.extend([8, 2, 0, 0, 0]);
    let chunks: [(&[u8; 4], &[u8]); 3] = [(b"IHDR", &header), (b"IDAT", data), (b"IEND", &[])];
    for (name, content) in chunks {
        bytes.extend(u32::try_from(content.len()).unwrap().to_be_bytes());
        bytes.extend(name);
        bytes.extend(content);
        bytes.extend(crc(&[name, content].concat()).to_be_bytes());
    }
    bytes
}

fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

/// The compressed data of a PNG that another picture gave.
fn data_of(png: &[u8]) -> Vec<u8> {
    let mut rest = &png[8..];
    let mut data = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*length) as usize;
        if &after[..4] == b"IDAT" {
            data.extend(&after[4..4 + length]);
        }
        rest = &after[length + 8..];
    }
    data
}

#[test]
fn a_picture_that_would_unfold_without_end_is_too_large_before_it_is_decoded() {
    for (width, height) in [(65_535, 65_535), (u32::MAX, u32::MAX), (8_193, 1), (4_000, 3_001)] {
        let (status, output) = resized(&forged(width, height, b""), 10);
        assert!(status == "too_large" || status == "unreadable", "{width} × {height}: {output}");
        assert!(width > 8_193 || status == "too_large", "{output}");
    }
    assert!(u64::from(4_000_u32) * 3_001 > PIXELS_MAX);
    // The same in a JPEG: its size is two bytes a side.
    let mut jpeg = written(&landscape(16, 16), Format::Jpeg);
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].fill(0xff);
    assert_eq!(resized(&jpeg, 10).0, "too_large");
    // Small by its header, a wall of zeros inside: whatever there is too much of is not unpacked.
    let wall = Picture::new((4_000, 3_000), Channels::Rgb, vec![0; 36_000_000]).unwrap();
    let bomb = forged(16, 16, &data_of(&written(&wall, Format::Png)));
    let (status, output) = resized(&bomb, 10);
    assert!(status == "ok" || status == "unreadable", "{status}: {output}");
}

#[test]
fn garbage_ends_with_a_status() {
    let unreadable = |bytes: &[u8]| {
        let (status, output) = resized(bytes, 10);
        assert_eq!(status, "unreadable", "{output}");
        assert!(!output["reason"].as_str().unwrap().is_empty());
    };
    unreadable(b"");
    unreadable(b"<svg xmlns='http://www.w3.org/2000/svg'/>");
    unreadable(b"\x89PNG\r\n\x1a\n");
    unreadable(&[0xff, 0xd8, 0xff, 0xe0]);
    for format in [Format::Png, Format::Jpeg] {
        let whole = written(&landscape(60, 40), format);
        unreadable(&whole[..whole.len() / 2]);
    }
    let (status, output) = task("resize", &json!({ "picture": "no base64!", "width": 1 }));
    assert_eq!(status, "unreadable", "{output}");
    assert!(Image::task("paint", Inputs::from_json(b"{}")).is_err(), "a task that there is not");
}

#[test]
fn thousands_of_damaged_pictures_each_end_with_a_status() {
    let mut dice = Dice(1);
    let picture = landscape(48, 32);
    let mut progressive = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut progressive, 80);
    encoder.set_progressive(true);
    encoder.encode(&picture.samples, 48, 32, jpeg_encoder::ColorType::Rgb).unwrap();
    for whole in [written(&picture, Format::Png), written(&picture, Format::Jpeg), progressive] {
        let mut unreadable = 0;
        for _ in 0..3_000 {
            let mut damaged = whole.clone();
            for _ in 0..=dice.byte() % 4 {
                let place = usize::from(dice.byte()) << 8 | usize::from(dice.byte());
                let place = place % damaged.len();
                damaged[place] = dice.byte();
            }
            damaged.truncate(whole.len() - usize::from(dice.byte() % 8));
            let (status, _) = resized(&damaged, 10);
            unreadable += u32::from(status == "unreadable");
        }
        assert!(unreadable > 100, "{unreadable} of {whole:?}");
    }
}

#[test]
fn a_result_that_no_other_task_could_take_is_too_large() {
    let noise = noise(900, 700);
    let jpeg = write::write(&noise, Format::Jpeg, 50).unwrap();
    let (status, _) = task(
        "resize",
        &json!({ "picture": STANDARD.encode(&jpeg), "width": 900, "format": "png" }),
    );
    assert_eq!(status, "too_large");
    let (status, _) =
        task("compress", &json!({ "picture": STANDARD.encode(&jpeg), "quality": 30 }));
    assert_eq!(status, "ok");
}

#[test]
fn every_kind_of_jpeg_is_read() {
    use jpeg_encoder::SamplingFactor as Factor;
    let before = landscape(203, 77);
    let gray: Vec<u8> = before.samples.chunks(3).map(|pixel| pixel[0]).collect();
    let gray = Picture::new((203, 77), Channels::Gray, gray).unwrap();
    for (picture, kind) in
        [(&before, jpeg_encoder::ColorType::Rgb), (&gray, jpeg_encoder::ColorType::Luma)]
    {
        for factor in [Factor::F_1_1, Factor::F_2_1, Factor::F_1_2, Factor::F_2_2, Factor::F_4_1] {
            for (progressive, optimized, restart) in [
                (false, false, 0),
                (false, true, 0),
                (true, false, 0),
                (true, true, 0),
                (false, false, 3),
            ] {
                let mut bytes = Vec::new();
                let mut encoder = jpeg_encoder::Encoder::new(&mut bytes, 90);
                encoder.set_sampling_factor(factor);
                encoder.set_progressive(progressive);
                encoder.set_optimized_huffman_tables(optimized);
                encoder.set_restart_interval(restart);
                encoder.encode(&picture.samples, 203, 77, kind).unwrap();
                let far = read::read(&bytes).map(|(found, _)| distance(picture, &found));
                let how = format!("{kind:?} {factor:?} {progressive} {optimized} {restart}");
                assert!(far == Ok(0) || far == Ok(1), "{how}: {far:?}");
            }
        }
    }
}
