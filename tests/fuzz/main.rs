//! Mutated input for what reads the bytes of strangers: the request reader, the whole HTTP edge, and the parser of
//! registrations. `FUZZ_INPUTS` is the number of inputs for each, `FUZZ_SEED` repeats a run; the seed is printed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod edge;
mod mutation;
mod registrations;
mod requests;

use std::env;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use mutation::Random;
use nix::sys::resource::{Resource, setrlimit};

/// The number of inputs of an ordinary run.
const INPUTS: u64 = 50_000;

/// The longest that one input may take, on a busy machine too.
const TIME_MAX: Duration = Duration::from_secs(10);

/// The memory that this process may ask for, in bytes; whatever wants more ends it.
const MEMORY_BYTES_MAX: u64 = 2 << 30;

/// Runs `check` with each mutated input; a panic says which one it was.
fn for_each_input(name: &str, inputs: u64, seeds: &[&[u8]], mut check: impl FnMut(&[u8], &mut Random)) {
    let number = |name: &str| env::var(name).ok().map(|text| text.parse::<u64>().expect("it is a number"));
    let seed = number("FUZZ_SEED").unwrap_or_else(|| RandomState::new().hash_one(name));
    let inputs = number("FUZZ_INPUTS").unwrap_or(inputs);
    setrlimit(Resource::RLIMIT_AS, MEMORY_BYTES_MAX, MEMORY_BYTES_MAX).expect("memory can be limited");
    println!("{name}: {inputs} inputs, FUZZ_SEED={seed}");
    let mut random = Random::new(seed);
    for at in 0..inputs {
        let input = random.mutate(seeds);
        let telling = OnPanic(|| eprintln!("input {at} of FUZZ_SEED={seed}: {}", input.escape_ascii()));
        let begun = Instant::now();
        check(&input, &mut random);
        assert!(begun.elapsed() < TIME_MAX, "it takes {:?}", begun.elapsed());
        drop(telling);
    }
}

/// Calls this if it is dropped by a panic.
struct OnPanic<F: Fn()>(F);

impl<F: Fn()> Drop for OnPanic<F> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            (self.0)();
        }
    }
}
