//! Header blocks there and back, and those that are bombs or no headers at all.

use flate2::{Compress, Compression, FlushCompress};
use proptest::prelude::*;

use super::*;

/// Compresses as clients do.
pub(in crate::api::spdy) struct Deflater(Compress);

impl Default for Deflater {
    fn default() -> Self {
        let mut deflate = Compress::new(Compression::best(), true);
        deflate.set_dictionary(&dictionary::DICTIONARY).unwrap();
        Self(deflate)
    }
}

impl Deflater {
    pub(in crate::api::spdy) fn deflate(&mut self, block: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(block.len() + 1024);
        let before = self.0.total_in();
        self.0.compress_vec(block, &mut out, FlushCompress::Sync).unwrap();
        assert_eq!(self.0.total_in() - before, block.len() as u64);
        out
    }
}

fn headers(pairs: &[(&str, &str)]) -> Headers {
    pairs.iter().copied().collect()
}

/// Bytes of a string of hexadecimal digits.
fn hex(digits: &str) -> Vec<u8> {
    let digits = digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

#[test]
fn the_dictionary_is_the_one_of_the_specification() {
    let (mut a, mut b) = (1_u32, 0_u32);
    for byte in dictionary::DICTIONARY.iter() {
        a = (a + u32::from(*byte)) % 65521;
        b = (b + a) % 65521;
    }
    assert_eq!((dictionary::DICTIONARY.len(), b << 16 | a), (1423, dictionary::ID));
}

/// Written by zlib itself, with the dictionary, one after the other: the second refers to the first.
#[test]
fn blocks_of_another_implementation_are_read_in_their_order() {
    let mut inflater = Inflater::default();
    for (compressed, kind) in [(FIRST, "error"), (SECOND, "data")] {
        let expected = headers(&[("streamtype", kind), ("port", "80"), ("requestid", "0")]);
        assert_eq!(inflater.headers(&hex(compressed)), Ok(expected));
    }
    assert_eq!(Inflater::default().headers(&hex(SECOND)), Err(HeadersError::Corrupt));
}

const FIRST: &str =
    "78f9e3c6a7c202253a703a2b294a4dcc851625aca9a0808614cb45a024cc64610024398b209198094adc8c0600000000ffff";
const SECOND: &str = "c2aa15540a2512d209000000ffff";

#[test]
fn a_name_is_found_in_any_case_and_has_its_first_value() {
    let headers = headers(&[("streamType", "stdin"), ("many", "one\0two")]);
    assert_eq!(headers.get("STREAMTYPE"), Some("stdin"));
    assert_eq!(headers.get("many"), Some("one"));
    assert_eq!(headers.get("port"), None);
}

#[test]
fn a_block_that_is_not_in_order_is_refused() {
    let block = |count: u32, texts: &[&[u8]]| {
        let mut block = count.to_be_bytes().to_vec();
        for text in texts {
            block.extend((text.len() as u32).to_be_bytes());
            block.extend(*text);
        }
        block
    };
    let long = [0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, b'a'];
    for (bytes, error) in [
        (vec![], HeadersError::Torn(0)),
        (vec![0, 0, 0], HeadersError::Torn(3)),
        (block(1, &[]), HeadersError::Torn(4)),
        (block(1, &[b"port"]), HeadersError::Torn(12)),
        (block(u32::MAX, &[b"port", b"80"]), HeadersError::Torn(18)),
        (block(0, &[b"port", b"80"]), HeadersError::Torn(18)),
        (long.to_vec(), HeadersError::Torn(9)),
        (block(1, &[b"Port", b"80"]), HeadersError::Name("Port".to_owned())),
        (block(1, &[b"", b"80"]), HeadersError::Name(String::new())),
        (block(1, &[b"a b", b"80"]), HeadersError::Name("a b".to_owned())),
        (block(1, &[b"port", b"\xff"]), HeadersError::Value("port".to_owned())),
        (block(2, &[b"port", b"80", b"port", b"81"]), HeadersError::Twice("port".to_owned())),
    ] {
        assert_eq!(Headers::parse(&bytes), Err(error), "{bytes:?}");
        assert!(Inflater::default().headers(&Deflater::default().deflate(&bytes)).is_err(), "{bytes:?}");
    }
}

#[test]
fn what_is_not_compressed_as_agreed_is_refused() {
    let good = Deflater::default().deflate(&headers(&[("port", "80")]).to_block());
    let mut plain = Compress::new(Compression::best(), true);
    let mut ended = Vec::with_capacity(256);
    plain.compress_vec(&headers(&[]).to_block(), &mut ended, FlushCompress::Finish).unwrap();
    let mut stranger = Compress::new(Compression::best(), true);
    stranger.set_dictionary(b"another dictionary").unwrap();
    let mut strange = Vec::with_capacity(256);
    stranger.compress_vec(&headers(&[]).to_block(), &mut strange, FlushCompress::Sync).unwrap();
    for bytes in [b"not zlib".to_vec(), good[2..].to_vec(), ended, strange] {
        assert_eq!(Inflater::default().headers(&bytes), Err(HeadersError::Corrupt), "{bytes:?}");
    }
    let torn = &good[..good.len() - 12];
    assert!(Inflater::default().headers(torn).is_err());
}

#[test]
fn a_small_block_that_inflates_without_end_is_refused_in_bounds() {
    let mut bomb = 1_u32.to_be_bytes().to_vec();
    bomb.resize(8 << 20, 0);
    let compressed = Deflater::default().deflate(&bomb);
    assert!(compressed.len() < super::super::frame::MAX_CONTROL, "{}", compressed.len());
    assert_eq!(Inflater::default().headers(&compressed), Err(HeadersError::TooLong));

    let most = "x".repeat(MAX_BLOCK - 16);
    let (most, more) = (headers(&[("port", &most)]), headers(&[("ports", &most)]));
    assert_eq!(Inflater::default().headers(&Deflater::default().deflate(&most.to_block())), Ok(most));
    let more = Deflater::default().deflate(&more.to_block());
    assert_eq!(Inflater::default().headers(&more), Err(HeadersError::TooLong));
}

fn any_headers() -> impl Strategy<Value = Headers> {
    let pairs = proptest::collection::btree_map("[a-z0-9:-]{1,20}", "\\PC{0,40}", 0..8);
    pairs.prop_map(|pairs| pairs.into_iter().collect())
}

proptest! {
    #[test]
    fn headers_arrive_as_they_were_sent_whoever_compresses(blocks in proptest::collection::vec(any_headers(), 1..6)) {
        let (mut storer, mut deflater) = (Storer::default(), Deflater::default());
        let (mut stored, mut deflated) = (Inflater::default(), Inflater::default());
        for headers in blocks {
            prop_assert_eq!(stored.headers(&storer.store(&headers)), Ok(headers.clone()));
            prop_assert_eq!(deflated.headers(&deflater.deflate(&headers.to_block())), Ok(headers));
        }
    }
}
