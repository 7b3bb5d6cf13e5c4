// SPDX-License-Identifier: Apache-2.0
// Takes tsx out of the flags of workers: they register it when they first need it (codec/function/late-loaders.ts). Other
// loaders stay, since nobody knows whether they work when they come late.

const LOADER_FLAGS = new Set(['--import', '--loader', '--experimental-loader', '--require', '-r'])
/** By name, and as the `tsx` command gives it. */
const TSX = /^tsx(\/(esm|cjs))?$|\/node_modules\/tsx\/dist\/(loader\.mjs|(esm\/index\.mjs)|(cjs\/index\.cjs))$/
/** What the `tsx` command adds for its own terminal. */
const TSX_COMMAND = /\/node_modules\/tsx\/dist\/(preflight|suppress-warnings)\.cjs$/

export interface LoaderFlags {
  flags: string[]
  /** What Node would take the loaders by: names, paths or URLs. */
  loaders: string[]
}

export function withoutLoaders(all: readonly string[]): LoaderFlags {
  const flags: string[] = []
  const loaders: string[] = []
  for (let i = 0; i < all.length; i++) {
    const flag = all[i] as string
    const equals = flag.indexOf('=')
    const name = equals < 0 ? flag : flag.slice(0, equals)
    const value = equals < 0 ? all[i + 1] : flag.slice(equals + 1)
    const isTsx = LOADER_FLAGS.has(name) && value !== undefined && (TSX.test(value) || TSX_COMMAND.test(value))
    if (!isTsx) {
      flags.push(flag)
      continue
    }
    if (equals < 0) i++
    if (TSX.test(value) && !loaders.includes(value)) loaders.push(value)
  }
  return { flags, loaders }
}
