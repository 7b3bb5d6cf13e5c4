// SPDX-License-Identifier: Apache-2.0
// Numbers that look random, from numbers that are counted up: cores have no source of chance.

/** 32 bits of `n`, well mixed (the finalizer of MurmurHash3). */
export function mix(n: number): number {
  let h = (n + 0x9e3779b9) | 0
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

/** A number to begin counting from that is another one for each name. */
export function seedOf(name: string): number {
  let h = 0
  for (let i = 0; i < name.length; i++) h = mix(h ^ name.charCodeAt(i))
  return h
}
