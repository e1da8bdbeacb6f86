// Randomness. The engine's own generator was seeded when the component was built: every cell would draw the
// same numbers.

const UUID_BYTES = 16;

/** A `Math.random` that takes its seed from `randomBytes` at the first call. */
export function makeRandom(randomBytes) {
  let state;
  return () => {
    state ??= new Uint32Array(Uint8Array.from(randomBytes(16)).buffer);
    const [high, low] = [next(state) >>> 5, next(state) >>> 6];
    return (high * 2 ** 26 + low) / 2 ** 53;
  };
}

/** What of the web's `crypto` is useful without a network. */
export function makeCrypto(randomBytes) {
  return {
    getRandomValues(array) {
      new Uint8Array(array.buffer, array.byteOffset, array.byteLength).set(randomBytes(array.byteLength));
      return array;
    },
    randomUUID() {
      const bytes = Uint8Array.from(randomBytes(UUID_BYTES));
      bytes[6] = (bytes[6] & 0x0f) | 0x40;
      bytes[8] = (bytes[8] & 0x3f) | 0x80;
      const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
      return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
    },
  };
}

/** One step of the generator sfc32: 32 bits. */
function next(state) {
  const sum = (state[0] + state[1] + state[3]) >>> 0;
  state[3] += 1;
  state[0] = state[1] ^ (state[1] >>> 9);
  state[1] = state[2] + (state[2] << 3);
  state[2] = ((state[2] << 21) | (state[2] >>> 11)) + sum;
  return sum;
}
