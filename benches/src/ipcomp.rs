//! Time, ratio and memory of DEFLATE on packets of 1408 octets, compared with zlib, libdeflate and miniz_oxide.

use std::hint::black_box;
use std::time::Instant;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use ipcomp_core::{Compressor, Decompressor, Deflate, FixedDeflate, Inflate};

const PACKET: usize = 1408;
const ROUNDS: usize = 31;

/// Packets with one kind of content.
struct Corpus {
    name: &'static str,
    packets: Vec<Vec<u8>>,
}

fn corpora() -> Vec<Corpus> {
    let text = include_bytes!("../../LICENSE-APACHE");
    let packets = |bytes: &[u8]| bytes.chunks_exact(PACKET).map(<[u8]>::to_vec).collect::<Vec<_>>();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let noise: Vec<u8> = (0..8 * PACKET).map(|_| (random() >> 32) as u8).collect();
    let mut http = String::new();
    for n in 0..40 {
        http.push_str(&format!(
            "HTTP/1.1 200 OK\r\nDate: Sat, 21 Nov 2026 10:{:02}:{:02} GMT\r\nServer: nginx/1.24.0\r\n\
             Content-Type: application/json; charset=utf-8\r\nCache-Control: no-cache, must-revalidate\r\n\
             X-Request-Id: {:016x}\r\nVary: Accept-Encoding\r\nConnection: keep-alive\r\n\r\n",
            n % 60,
            random() % 60,
            random()
        ));
        for item in 0..6 {
            http.push_str(&format!(
                "{{\"id\":{},\"name\":\"sensor-{}\",\"temperature\":{}.{},\"humidity\":{},\"status\":\"{}\",\"updated\":\"2026-11-{:02}T{:02}:{:02}:00Z\"}},\n",
                random() % 100_000,
                item,
                random() % 40,
                random() % 10,
                random() % 100,
                ["ok", "warning", "failed", "offline"][(random() % 4) as usize],
                1 + random() % 28,
                random() % 24,
                random() % 60
            ));
        }
    }
    vec![
        Corpus { name: "text", packets: packets(text) },
        Corpus { name: "http", packets: packets(http.as_bytes()) },
        Corpus { name: "random", packets: packets(&noise) },
    ]
}

/// Name of a compressor or decompressor, and its function: it returns the length of the output, or `None` if it gave
/// up.
type Job<'a> = (&'static str, Box<dyn FnMut(&[u8], &mut [u8]) -> Option<usize> + 'a>);

/// Runs the comparison and prints the tables.
pub fn run() {
    let sizes = (size_of::<Deflate>(), size_of::<FixedDeflate>(), size_of::<Inflate>());
    println!("state in octets: Deflate {}, FixedDeflate {}, Inflate {}\n", sizes.0, sizes.1, sizes.2);
    for corpus in corpora() {
        println!("{}: {} packets of {PACKET} octets", corpus.name, corpus.packets.len());
        compressors(&corpus);
        decompressors(&corpus);
    }
}

fn zlib(level: u32) -> impl FnMut(&[u8], &mut [u8]) -> Option<usize> {
    let mut state = Compress::new(Compression::new(level), false);
    move |input, output| {
        state.reset();
        state.compress(input, output, FlushCompress::Finish).ok()?;
        usize::try_from(state.total_out()).ok()
    }
}

fn compressors(corpus: &Corpus) {
    let (mut ours, mut small) = (Box::new(Deflate::new()), Box::new(FixedDeflate::new()));
    let mut libdeflate = libdeflater::Compressor::new(libdeflater::CompressionLvl::new(1).expect("valid level"));
    let mut miniz = miniz_oxide::deflate::core::CompressorOxide::default();
    miniz.set_format_and_level(miniz_oxide::DataFormat::Raw, 1);
    let jobs: Vec<Job<'_>> = vec![
        ("ours Deflate", Box::new(move |i, o| ours.compress(i, o))),
        ("ours FixedDeflate", Box::new(move |i, o| small.compress(i, o))),
        ("zlib 1", Box::new(zlib(1))),
        ("zlib 6", Box::new(zlib(6))),
        ("libdeflate 1", Box::new(move |i, o| libdeflate.deflate_compress(i, o).ok())),
        (
            "miniz_oxide 1",
            Box::new(move |i, o| {
                miniz.reset();
                let done = miniz_oxide::deflate::core::compress(
                    &mut miniz,
                    i,
                    o,
                    miniz_oxide::deflate::core::TDEFLFlush::Finish,
                );
                Some(done.2)
            }),
        ),
    ];
    table("compress", corpus, &corpus.packets, jobs);
}

fn decompressors(corpus: &Corpus) {
    let mut compress = zlib(1);
    let mut space = vec![0; 2 * PACKET];
    let deflated: Vec<Vec<u8>> = corpus
        .packets
        .iter()
        .map(|packet| {
            let len = compress(packet, &mut space).expect("zlib compresses");
            space[..len].to_vec()
        })
        .collect();
    let mut ours = Box::new(Inflate::new());
    let mut zlib = Decompress::new(false);
    let mut libdeflate = libdeflater::Decompressor::new();
    let mut miniz = Box::<miniz_oxide::inflate::core::DecompressorOxide>::default();
    let jobs: Vec<Job<'_>> = vec![
        ("ours Inflate", Box::new(move |i, o| ours.decompress(i, o).ok())),
        (
            "zlib",
            Box::new(move |i, o| {
                zlib.reset(false);
                zlib.decompress(i, o, FlushDecompress::Finish).ok()?;
                usize::try_from(zlib.total_out()).ok()
            }),
        ),
        ("libdeflate", Box::new(move |i, o| libdeflate.deflate_decompress(i, o).ok())),
        (
            "miniz_oxide",
            Box::new(move |i, o| {
                miniz.init();
                let flags = miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
                Some(miniz_oxide::inflate::core::decompress(&mut miniz, i, o, 0, flags).2)
            }),
        ),
    ];
    table("inflate output of zlib 1", corpus, &deflated, jobs);
}

fn table(what: &str, corpus: &Corpus, inputs: &[Vec<u8>], mut jobs: Vec<Job<'_>>) {
    let mut output = vec![0; 2 * PACKET];
    let mut rounds = vec![Vec::new(); jobs.len()];
    let mut sizes = vec![0usize; jobs.len()];
    for round in 0..ROUNDS {
        for (number, (_, job)) in jobs.iter_mut().enumerate() {
            let start = Instant::now();
            for _ in 0..20 {
                for input in inputs {
                    black_box(job(black_box(input), black_box(&mut output)));
                }
            }
            rounds[number].push(start.elapsed().as_nanos() as f64 / (20 * inputs.len()) as f64);
            if round == 0 {
                // A packet that does not get smaller is sent uncompressed.
                let size = |(packet, input): (&Vec<u8>, &Vec<u8>)| job(input, &mut output).unwrap_or(packet.len());
                sizes[number] = corpus.packets.iter().zip(inputs).map(size).sum();
            }
        }
    }
    let total: usize = corpus.packets.iter().map(Vec::len).sum();
    let medians: Vec<f64> = rounds
        .iter_mut()
        .map(|times| {
            times.sort_by(f64::total_cmp);
            times[times.len() / 2]
        })
        .collect();
    println!("  {what:<26} {:>9} {:>7} {:>14}", "ns", "ratio", "time / ours");
    for (number, (name, _)) in jobs.iter().enumerate() {
        let ratio = sizes[number] as f64 / total as f64;
        println!("  {name:<26} {:>9.0} {ratio:>7.3} {:>14.2}", medians[number], medians[number] / medians[0]);
    }
    println!();
}
