// SPDX-License-Identifier: Apache-2.0
// Strings to bytes and back, as fast as JavaScript goes: short ones in a loop (a call into C++ costs 60 to 100 ns),
// longer ones through the methods that every Buffer has and that work on any Uint8Array.

const SHORT_WRITE = 40
const SHORT_READ = 16

interface BufferMethods {
  utf8Write(text: string, offset: number, length: number): number
  utf8Slice(start: number, end: number): string
  latin1Slice(start: number, end: number): string
  ucs2Write(text: string, offset: number, length: number): number
  ucs2Slice(start: number, end: number): string
}
const { utf8Write, utf8Slice, latin1Slice, ucs2Write, ucs2Slice } = Buffer.prototype as unknown as BufferMethods

/** Bytes that `writeUtf8` may need at most. */
export function utf8BytesMax(text: string): number {
  return text.length * 3
}

/**
 * Writes UTF-8 at `at`, where `utf8BytesMax` bytes are free, and gives the bytes written. As many as characters: it is
 * ASCII. Lone surrogates are lost.
 */
export function writeUtf8(target: Uint8Array, at: number, text: string): number {
  const length = text.length
  if (length <= SHORT_WRITE) {
    let i = 0
    for (; i < length; i++) {
      const code = text.charCodeAt(i)
      if (code >= 0x80) break
      target[at + i] = code
    }
    if (i === length) return length
  }
  return utf8Write.call(target, text, at, target.length - at)
}

/** Reads [start, end) as bytes of ASCII (or Latin-1). */
export function readLatin1(bytes: Uint8Array, start: number, end: number): string {
  return end - start <= SHORT_READ ? readShort(bytes, start, end, 0x100)! : latin1Slice.call(bytes, start, end)
}

export function readUtf8(bytes: Uint8Array, start: number, end: number): string {
  const text = end - start <= SHORT_READ ? readShort(bytes, start, end, 0x80) : null
  return text ?? utf8Slice.call(bytes, start, end)
}

/** Four characters at a time; null when a byte is not below `limit`. */
function readShort(bytes: Uint8Array, start: number, end: number, limit: number): string | null {
  let text = ''
  let i = start
  for (; i + 4 <= end; i += 4) {
    const a = bytes[i]!
    const b = bytes[i + 1]!
    const c = bytes[i + 2]!
    const d = bytes[i + 3]!
    if ((a | b | c | d) >= limit) return null
    text += String.fromCharCode(a, b, c, d)
  }
  for (; i < end; i++) {
    const a = bytes[i]!
    if (a >= limit) return null
    text += String.fromCharCode(a)
  }
  return text
}

/** Whether UTF-8 keeps it: no lone surrogates. */
export function isWellFormed(text: string): boolean {
  return (text as string & { isWellFormed(): boolean }).isWellFormed()
}

/** Writes UTF-16 (2 bytes a character), which keeps lone surrogates. */
export function writeUtf16(target: Uint8Array, at: number, text: string): number {
  return ucs2Write.call(target, text, at, target.length - at)
}

export function readUtf16(bytes: Uint8Array, start: number, end: number): string {
  return ucs2Slice.call(bytes, start, end)
}
