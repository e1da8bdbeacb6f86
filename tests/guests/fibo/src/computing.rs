/// A number of Fibonacci's, in the way that takes the most calls. The benchmarks run the same file natively: it wraps,
/// so that both are the same code, whether or not additions are checked.
pub(crate) fn fibo(n: u32) -> u64 {
    if n < 2 { u64::from(n) } else { fibo(n - 1).wrapping_add(fibo(n - 2)) }
}
