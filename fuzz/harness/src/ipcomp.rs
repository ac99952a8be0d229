use ipcomp_core::{Compressor, Decompressor, Deflate, FixedDeflate, Inflate, Lzs};
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};

const MAX_LEN: usize = 65536;

pub fn inflate(octets: &[u8]) {
    let mut ours = vec![0; MAX_LEN];
    let inflated = Inflate::new().decompress(octets, &mut ours);
    let mut theirs = vec![0; MAX_LEN];
    let flags = inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let (status, _, length) = decompress(&mut DecompressorOxide::new(), octets, &mut theirs, 0, flags);
    match (inflated, status) {
        (Ok(len), TINFLStatus::Done) => assert_eq!(ours[..len], theirs[..length]),
        (Ok(_), status) => panic!("accepted, but miniz_oxide returned {status:?}"),
        // `Inflate` requires complete Huffman codes, which all compressors write.
        (Err(_), _) => {}
    }
}

pub fn deflate(octets: &[u8]) {
    let input = &octets[..octets.len().min(MAX_LEN - 1)];
    let mut out = vec![0; MAX_LEN];
    let size = Deflate::new().compress(input, &mut out);
    check(input, &out, size);
    let size = FixedDeflate::new().compress(input, &mut out);
    check(input, &out, size);
}

/// Asserts that `Inflate` and miniz_oxide both restore the compressed input.
fn check(input: &[u8], out: &[u8], size: Option<usize>) {
    let Some(compressed) = size.and_then(|size| out.get(..size)) else { return };
    let mut back = vec![0; input.len()];
    assert_eq!(Inflate::new().decompress(compressed, &mut back), Ok(input.len()));
    assert_eq!(back, input);
    assert_eq!(miniz_oxide::inflate::decompress_to_vec(compressed).ok().as_deref(), Some(input));
}

pub fn lzs(octets: &[u8]) {
    let mut out = vec![0; MAX_LEN];
    let _ = Lzs::new().decompress(octets, &mut out);
    let input = &octets[..octets.len().min(4096)];
    if let Some(len) = Lzs::new().compress(input, &mut out) {
        let mut back = vec![0; input.len()];
        assert_eq!(Lzs::new().decompress(&out[..len], &mut back).ok(), Some(input.len()));
        assert_eq!(back, input);
    }
}
