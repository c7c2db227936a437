//! Random numbers that a seed repeats, and what they do to an input.

use fastrand::Rng;

/// The length that an input does not grow beyond by much, in bytes.
const INPUT_BYTES_MAX: usize = 2048;

pub(crate) struct Random(Rng);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(Rng::with_seed(seed))
    }

    /// A number below this one, or 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0.usize(..end.max(1))
    }

    /// One of the seeds, changed in a few places.
    pub(crate) fn mutate(&mut self, seeds: &[&[u8]]) -> Vec<u8> {
        let mut input = seeds[self.below(seeds.len())].to_vec();
        for _ in 0..self.below(6) {
            let at = self.below(input.len() + 1);
            let end = (at + self.below(20)).min(input.len());
            match self.below(8) {
                0 if at < input.len() => input[at] ^= 1 << self.below(8),
                1 => input.insert(at, self.byte()),
                2 => drop(input.drain(at..end)),
                3 => input.truncate(at),
                4 => self.insert_part_of(seeds, &mut input, at),
                5 => {
                    let part = input[at..end].to_vec();
                    input.splice(at..at, part.repeat(1 + self.below(5)));
                }
                6 => drop(input.splice(at..end, self.token().iter().copied())),
                _ => {
                    let other = self.below(input.len() + 1);
                    if at < input.len() && other < input.len() {
                        input.swap(at, other);
                    }
                }
            }
            input.truncate(INPUT_BYTES_MAX);
        }
        input
    }

    fn insert_part_of(&mut self, seeds: &[&[u8]], input: &mut Vec<u8>, at: usize) {
        let seed = seeds[self.below(seeds.len())];
        let from = self.below(seed.len());
        let to = (from + self.below(80)).min(seed.len());
        input.splice(at..at, seed[from..to].iter().copied());
    }

    fn byte(&mut self) -> u8 {
        let interesting = b"\r\n\0 \t:;,/?%{}[]\"\\u0179\xff\xc3\xbc";
        if self.below(2) == 0 { interesting[self.below(interesting.len())] } else { self.0.u8(..) }
    }

    fn token(&mut self) -> &'static [u8] {
        let tokens: [&[u8]; 20] = [
            b"\r\n",
            b"\r\n\r\n",
            b"\n",
            b"Content-Length: 5\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"Expect: 100-continue\r\n",
            b"Connection: close\r\n",
            b"Host: a\r\n",
            b"0\r\n\r\n",
            b"ffffffffffffffff",
            b"18446744073709551616",
            b" HTTP/1.1\r\n",
            b"http://",
            b"null",
            b"\"targets\":[\"a\"],",
            b"\"labels\":{\"\":\"\"},",
            b"\\ud800",
            b"1e999",
            b"[[[[[[[[[[[[[[[[",
            b"\xed\xa0\x80",
        ];
        tokens[self.below(tokens.len())]
    }
}
