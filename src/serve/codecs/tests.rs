use std::io::Write;

use flate2::write::GzEncoder;
use zstd::stream::write::Encoder as ZstdEncoder;

use super::*;

const ALL: [Coding; 2] = [Coding::Gzip, Coding::Zstd];

/// Random numbers among words that come again.
fn text(bytes: usize) -> Vec<u8> {
    let rng = &mut fastrand::Rng::with_seed(7);
    let mut text = Vec::new();
    while text.len() < bytes {
        text.extend_from_slice(format!("\"{:x}\":[{},\"word\"],", rng.u32(..), rng.u8(..)).as_bytes());
    }
    text.truncate(bytes);
    text
}

/// By an encoder that is not ours.
fn encoded(coding: Coding, body: &[u8]) -> Vec<u8> {
    match coding {
        Coding::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        }
        Coding::Zstd => {
            let mut encoder = ZstdEncoder::new(Vec::new(), 9).unwrap();
            encoder.include_checksum(true).unwrap();
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        }
    }
}

fn inflate(codecs: &mut Codecs, coding: Coding, body: &[u8], bytes: usize) -> Result<Vec<u8>, Refused> {
    let mut out = Inflated::default();
    codecs.inflate(coding, Bytes::copy_from_slice(body), Bound::of(bytes), &mut out)?;
    assert!(out.buffer.len() <= bytes.max(FIRST_BUFFER_BYTES) + 1);
    Ok(out.bytes().to_vec())
}

#[test]
fn bodies_come_back_as_they_were_whatever_came_before() {
    let codecs = &mut Codecs::default();
    for coding in ALL {
        for bytes in [0, 1, 100, 2_500, 16_384, 16_385, 100_000, 3_000_000, 700] {
            let body = text(bytes);
            for encoded in [encoded(coding, &body), codecs.deflate(coding, &body).unwrap()] {
                assert!(encoded.len() < bytes * 3 / 4 + 100, "{coding:?} {bytes}: {}", encoded.len());
                assert_eq!(inflate(codecs, coding, &encoded, bytes).unwrap(), body, "{coding:?} {bytes}");
                assert_eq!(inflate(codecs, coding, b"nonsense", bytes), Err(Refused::Malformed));
            }
        }
        // What cannot be made smaller is still encoded.
        let noise: Vec<u8> = std::iter::repeat_with({
            let mut rng = fastrand::Rng::with_seed(1);
            move || rng.u8(..)
        })
        .take(70_000)
        .collect();
        let encoded = codecs.deflate(coding, &noise).unwrap();
        assert_eq!(inflate(codecs, coding, &encoded, noise.len()).unwrap(), noise);
    }
}

#[test]
fn one_byte_beyond_the_bound_is_too_large() {
    let codecs = &mut Codecs::default();
    for coding in ALL {
        for bytes in [1, 16_383, 16_384, 16_385, 50_000] {
            let body = encoded(coding, &text(bytes));
            assert_eq!(inflate(codecs, coding, &body, bytes - 1), Err(Refused::TooLarge), "{coding:?} {bytes}");
            assert!(inflate(codecs, coding, &body, bytes).is_ok());
        }
    }
}

#[test]
fn bombs_end_at_the_bound() {
    let codecs = &mut Codecs::default();
    for coding in ALL {
        let bomb = encoded(coding, &vec![b' '; 64 << 20]);
        assert!(bomb.len() < 1 << 20);
        let mut out = Inflated::default();
        let bound = Bound { bytes: 100_000, time: Duration::from_secs(1_000) };
        assert_eq!(codecs.inflate(coding, bomb.into(), bound, &mut out), Err(Refused::TooLarge));
        assert!(out.buffer.len() <= 100_001);
    }
}

#[test]
fn what_inflates_to_nothing_ends_with_its_time() {
    let codecs = &mut Codecs::default();
    for coding in ALL {
        let nothing = encoded(coding, b"").repeat(50_000);
        let mut out = Inflated::default();
        let mut inflate = |body: &[u8], time| {
            codecs.inflate(coding, Bytes::copy_from_slice(body), Bound { bytes: 1 << 20, time }, &mut out)
        };
        assert_eq!(inflate(&nothing, Duration::ZERO), Err(Refused::TooLarge));
        assert_eq!(inflate(&nothing, Duration::from_secs(1_000)), Ok(()));
        // What is given out at once needs no time.
        assert_eq!(inflate(&encoded(coding, &text(2_500)), Duration::ZERO), Ok(()));
    }
}

#[test]
fn cut_off_altered_or_followed_by_something_is_malformed() {
    let codecs = &mut Codecs::default();
    let body = text(3_000);
    for coding in ALL {
        let good = encoded(coding, &body);
        for length in 0..good.len() {
            let cut_off = inflate(codecs, coding, &good[..length], 1 << 20);
            assert_eq!(cut_off, Err(Refused::Malformed), "{coding:?} {length}");
        }
        for garbage in [&b"\0"[..], b"x", b"trailing garbage", &[0; 100], &good[..good.len() - 1]] {
            let followed = [&good, garbage].concat();
            assert_eq!(inflate(codecs, coding, &followed, 1 << 20), Err(Refused::Malformed), "{coding:?} {garbage:?}");
        }
        // Both carry a checksum of what was encoded. Not every bit says something.
        for at in good.len() / 2..good.len() {
            let mut altered = good.clone();
            altered[at] ^= 0x10;
            let inflated = inflate(codecs, coding, &altered, 1 << 20);
            assert!(inflated == Err(Refused::Malformed) || inflated.as_ref() == Ok(&body), "{coding:?} {at}");
        }
        let last = good.len() - 9..good.len() - 5;
        let altered: Vec<u8> = good.iter().enumerate().map(|(i, b)| if last.contains(&i) { !b } else { *b }).collect();
        assert_eq!(inflate(codecs, coding, &altered, 1 << 20), Err(Refused::Malformed), "{coding:?}");
        let other = if coding == Coding::Gzip { Coding::Zstd } else { Coding::Gzip };
        assert_eq!(inflate(codecs, other, &good, 1 << 20), Err(Refused::Malformed));
    }
}

#[test]
fn members_and_frames_one_after_another_are_one_body() {
    let codecs = &mut Codecs::default();
    for coding in ALL {
        let parts = [text(5), Vec::new(), text(40_000), text(7)];
        let all: Vec<u8> = parts.iter().flat_map(|part| encoded(coding, part)).collect();
        assert_eq!(inflate(codecs, coding, &all, 40_012).unwrap(), parts.concat());
        assert_eq!(inflate(codecs, coding, &all, 40_011), Err(Refused::TooLarge));
    }
}

#[test]
fn a_gzip_header_may_have_all_its_fields() {
    let mut encoder = flate2::GzBuilder::new()
        .filename("request.json")
        .comment("a comment")
        .extra(vec![7; 300])
        .mtime(1_700_000_000)
        .write(Vec::new(), Compression::fast());
    encoder.write_all(b"{}").unwrap();
    let body = encoder.finish().unwrap();
    assert_eq!(inflate(&mut Codecs::default(), Coding::Gzip, &body, 100).unwrap(), b"{}");
}

#[test]
fn zstd_windows_are_bounded() {
    let codecs = &mut Codecs::default();
    for (window_log, fine) in [(20, true), (ZSTD_WINDOW_LOG, true), (ZSTD_WINDOW_LOG + 1, false), (27, false)] {
        let mut encoder = ZstdEncoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(window_log).unwrap();
        encoder.write_all(b"{}").unwrap();
        // The size is not known when the header is written, so it names the window.
        encoder.flush().unwrap();
        let body = encoder.finish().unwrap();
        let expected = if fine { Ok(b"{}".to_vec()) } else { Err(Refused::Malformed) };
        assert_eq!(inflate(codecs, Coding::Zstd, &body, 100), expected, "{window_log}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..proptest::test_runner::Config::default() })]
    #[test]
    fn noise_is_refused_or_bounded(noise: Vec<u8>, gzip: bool, cut in 0usize..200) {
        let codecs = &mut Codecs::default();
        let coding = if gzip { Coding::Gzip } else { Coding::Zstd };
        let good = encoded(coding, &text(400));
        let spliced = [&good[..cut.min(good.len())], &noise].concat();
        for body in [&noise, &spliced] {
            if let Ok(out) = inflate(codecs, coding, body, 300) {
                proptest::prop_assert!(out.len() <= 300);
            }
        }
        proptest::prop_assert_eq!(inflate(codecs, coding, &good, 400).unwrap(), text(400));
    }
}
