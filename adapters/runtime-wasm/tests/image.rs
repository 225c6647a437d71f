//! The service `image` in the sandbox: real pictures within its limits, hostile ones to a status.
#![expect(clippy::unwrap_used, reason = "the whole file is a test")]

#[expect(dead_code, reason = "each test program uses another part of it")]
mod support;

use std::path::Path;
use std::sync::LazyLock;

use serde_json::{Value, json};
use support::{Example, Node};

static IMAGE: LazyLock<Example> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../services/image");
    Example::build_in(&folder)
});

/// What a picture in base64 may have in an input of 1 MiB.
const PICTURE_BYTES_MAX: usize = 768 * 1024;

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let byte = |place: usize| u32::from(three.get(place).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let value = usize::try_from(bits >> (18 - 6 * digit) & 63).unwrap();
            text.push(if digit <= three.len() { char::from(DIGITS[value]) } else { '=' });
        }
    }
    text
}

/// A PNG of eight bits a sample whose rows are kept as they are.
fn png(width: u32, height: u32, pixel: impl Fn(u32, u32) -> [u8; 3]) -> Vec<u8> {
    let mut rows = Vec::new();
    for y in 0..height {
        rows.push(0);
        rows.extend((0..width).flat_map(|x| pixel(x, y)));
    }
    let mut data = vec![0x78, 0x01];
    let mut blocks = rows.chunks(65_535).peekable();
    while let Some(block) = blocks.next() {
        let length = u16::try_from(block.len()).unwrap();
        data.push(u8::from(blocks.peek().is_none()));
        data.extend(length.to_le_bytes());
        data.extend((!length).to_le_bytes());
        data.extend(block);
    }
    data.extend(adler(&rows).to_be_bytes());
    framed(width, height, &data)
}

fn framed(width: u32, height: u32, data: &[u8]) -> Vec<u8> {
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
        let step = |crc: u32| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc))
    })
}

fn adler(bytes: &[u8]) -> u32 {
    let (low, high) = bytes.iter().fold((1_u32, 0_u32), |(low, high), byte| {
        let low = (low + u32::from(*byte)) % 65_521;
        (low, (high + low) % 65_521)
    });
    high << 16 | low
}

/// A PNG of zeros, as large as its sides say and as small as deflate can say it.
///
/// Runs of 258 zeros in the fixed code: literal 0 is `00110000`, length 258 is `11000101`, and
/// distance 1 is `00000`.
fn wall(width: u32, height: u32, runs: usize) -> Vec<u8> {
    let mut bits = vec![true, true, false];
    let code = |bits: &mut Vec<bool>, text: &str| bits.extend(text.bytes().map(|bit| bit == b'1'));
    code(&mut bits, "00110000");
    for _ in 0..runs {
        code(&mut bits, "11000101");
        code(&mut bits, "00000");
    }
    code(&mut bits, "0000000");
    let mut data = vec![0x78, 0x01];
    let byte = |eight: &[bool]| {
        eight.iter().enumerate().fold(0, |byte, (place, bit)| byte | u8::from(*bit) << place)
    };
    data.extend(bits.chunks(8).map(byte));
    // No decoder of ours looks at this checksum.
    data.extend(0_u32.to_be_bytes());
    framed(width, height, &data)
}

/// Hills in a haze: what a photograph is to a codec.
fn hills(x: u32, y: u32) -> [u8; 3] {
    let low = |value: u32| u8::try_from(value & 0xff).unwrap();
    let hill = (x * x / 97 + y * y / 31 + x * y / 53) % 64;
    [low(120 + hill / 2), low(90 + hill), low(60 + y % 90)]
}

fn run(node: &Node, task: &str, input: &Value) -> (String, Value, u64) {
    let run = node.task(&IMAGE, task, &input.to_string());
    let returned = run.result.unwrap_or_else(|why| panic!("{task}: {why:?}: {:?}", run.log));
    let output = serde_json::from_slice(&returned.output).unwrap();
    (returned.status.to_string(), output, run.fuel_used)
}

#[test]
fn a_picture_is_resized_and_compressed_alike_on_two_nodes() {
    let (one, other) = (Node::with(&IMAGE), Node::with(&IMAGE));
    let picture = png(640, 390, hills);
    assert!(picture.len() < PICTURE_BYTES_MAX);
    let input = json!({ "picture": base64(&picture), "width": 200 });
    let (status, small, fuel) = run(&one, "resize", &input);
    assert_eq!(status, "ok", "{small}");
    assert_eq!(
        (&small["format"], &small["width"], &small["height"]),
        (&json!("png"), &json!(200), &json!(122))
    );
    assert_eq!(
        run(&other, "resize", &input),
        (status, small.clone(), fuel),
        "the same bytes for the same fuel"
    );

    let mut lengths = Vec::new();
    for quality in [90, 30] {
        let input = json!({ "picture": small["picture"], "quality": quality });
        let (status, packed, fuel) = run(&one, "compress", &input);
        assert_eq!((status.as_str(), &packed["format"]), ("ok", &json!("jpeg")), "{packed}");
        assert_eq!(run(&other, "compress", &input), (status, packed.clone(), fuel));
        // A JPEG begins with FF D8 FF.
        assert!(packed["picture"].as_str().unwrap().starts_with("/9j/"), "{packed}");
        lengths.push(packed["bytes"].as_u64().unwrap());
    }
    assert!(
        lengths[1] < lengths[0] && lengths[0] < small["bytes"].as_u64().unwrap(),
        "{lengths:?}"
    );
}

#[test]
fn the_largest_picture_fits_into_the_limits_with_room_to_spare() {
    let node = Node::with(&IMAGE);
    // All of 12 million pixels, in a file that fits into an input.
    let largest = wall(4_000, 3_000, 36_003_000_usize.div_ceil(258));
    assert!(largest.len() < PICTURE_BYTES_MAX, "{}", largest.len());
    for (task, input) in [
        ("resize", json!({ "picture": base64(&largest), "width": 3_999 })),
        ("compress", json!({ "picture": base64(&largest), "quality": 100 })),
    ] {
        let (status, output, fuel) = run(&node, task, &input);
        assert_eq!(status, "ok", "{output}");
        let limit = IMAGE.manifest.tasks[0].limits.fuel;
        println!("{task}: {fuel} of {limit} units");
        assert!(fuel < limit / 2, "{task} takes {fuel} of {limit} units");
    }
}

#[test]
fn a_hostile_picture_ends_with_a_status_and_not_with_a_trap() {
    let node = Node::with(&IMAGE);
    let resized = |bytes: &[u8]| {
        let input = json!({ "picture": base64(bytes), "width": 10 });
        let (status, output, fuel) = run(&node, "resize", &input);
        println!("{status} after {fuel} units: {}", output["reason"]);
        (status, fuel)
    };
    let nothing = resized(b"").1;
    // Sizes that are only said.
    for (width, height) in [(2_000_000_000, 2_000_000_000), (65_535, 65_535), (8_193, 1)] {
        let (status, fuel) = resized(&wall(width, height, 10));
        assert_eq!(status, "too_large");
        assert!(fuel < nothing + 1_000_000, "{fuel}: it is not decoded");
    }
    // Two hundred megabytes in a picture of 16 × 16.
    let bomb = wall(16, 16, 400_000);
    assert!(bomb.len() < PICTURE_BYTES_MAX, "{}", bomb.len());
    let (status, fuel) = resized(&bomb);
    assert!(status == "ok" || status == "unreadable", "{status}");
    assert!(fuel < 500_000_000, "{fuel}: what is too much is not unpacked");
    let whole = png(64, 64, hills);
    for damaged in [&whole[..whole.len() / 2], b"GIF89a", &[0xff, 0xd8, 0xff, 0xe0], &[0; 700_000]]
    {
        assert_eq!(resized(damaged).0, "unreadable");
    }
    // Damaged anywhere: whatever it is then, it has a status.
    for place in (0..whole.len()).step_by(97) {
        let mut damaged = whole.clone();
        damaged[place] ^= 0x5a;
        resized(&damaged);
    }
}
