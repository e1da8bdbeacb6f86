//! Randomness that nobody can guess and that the same attempt gets again.

use hmac::{Hmac, Mac as _};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;
use sha2::Sha256;
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};

use super::{Attempt, View};

/// The most random bytes of one call. Bounds what the host allocates for it.
const RANDOM_BYTES_MAX: u64 = 1 << 20;

/// Seeded with HMAC(host key, run · step · attempt).
pub(super) fn generator(attempt: &Attempt) -> ChaCha12Rng {
    // A key shorter than the hash's block is filled up with zeros, by definition of HMAC.
    let mut key = hmac::digest::Key::<Hmac<Sha256>>::default();
    key.iter_mut().zip(attempt.host_key).for_each(|(to, from)| *to = from);
    // The run and the attempt have a fixed length, so that no two triples make the same text.
    let mac = <Hmac<Sha256> as hmac::KeyInit>::new(&key)
        .chain_update(attempt.run.as_bytes())
        .chain_update(attempt.number.to_le_bytes())
        .chain_update(attempt.step.as_ref().map_or("", |step| step.as_str()));
    ChaCha12Rng::from_seed(mac.finalize().into_bytes().into())
}

impl View<'_> {
    fn random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        if len > RANDOM_BYTES_MAX {
            wasmtime::bail!("the step asks for {len} random bytes at once, of {RANDOM_BYTES_MAX} allowed");
        }
        let mut bytes = vec![0; usize::try_from(len)?];
        self.wasi.random().fill_bytes(&mut bytes);
        Ok(bytes)
    }
}

impl random::Host for View<'_> {
    fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.random_bytes(len)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(self.wasi.random().next_u64())
    }
}

impl insecure::Host for View<'_> {
    fn get_insecure_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.random_bytes(len)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(self.wasi.random().next_u64())
    }
}

impl insecure_seed::Host for View<'_> {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        let random = self.wasi.random();
        Ok((random.next_u64(), random.next_u64()))
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use stepcell_core::{RunId, StepId};

    use super::*;

    fn first(host_key: u8, run: u8, step: &str, number: u32) -> u64 {
        generator(&Attempt {
            host_key: [host_key; 32],
            run: RunId::from_bytes([run; 16]),
            step: StepId::new(step).ok(),
            number,
            started_at: Timestamp::UNIX_EPOCH,
        })
        .next_u64()
    }

    #[test]
    fn the_same_attempt_gets_the_same_numbers() {
        assert_eq!(first(1, 2, "a", 3), first(1, 2, "a", 3));
    }

    #[test]
    fn any_other_attempt_gets_others() {
        let numbers = [
            first(1, 2, "a", 3),
            first(9, 2, "a", 3),
            first(1, 9, "a", 3),
            first(1, 2, "b", 3),
            first(1, 2, "a", 4),
        ];
        let distinct: std::collections::BTreeSet<_> = numbers.iter().collect();
        assert_eq!(distinct.len(), numbers.len());
    }
}
