// UTF-8, for an engine without a `TextEncoder`.

/** The text's bytes. Half a character becomes U+FFFD. */
export function encode(text) {
  const bytes = [];
  for (const character of text) {
    const point = character.codePointAt(0);
    bytes.push(...encodePoint(point >= 0xd800 && point <= 0xdfff ? 0xfffd : point));
  }
  return Uint8Array.from(bytes);
}

function encodePoint(point) {
  const tail = (shift) => 0x80 | ((point >> shift) & 0x3f);
  if (point < 0x80) return [point];
  if (point < 0x800) return [0xc0 | (point >> 6), tail(0)];
  if (point < 0x10000) return [0xe0 | (point >> 12), tail(6), tail(0)];
  return [0xf0 | (point >> 18), tail(12), tail(6), tail(0)];
}
