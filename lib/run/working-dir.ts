// SPDX-License-Identifier: Apache-2.0
// A copy of a directory as it is now, named by what is in it: two that are the same share one copy.

import { createHash, type Hash } from 'node:crypto'
import { lstat, mkdir, open, readdir, readlink, rename, rm, stat, symlink } from 'node:fs/promises'
import { dirname, isAbsolute, join, relative, resolve, sep } from 'node:path'
import { type Excluder, excluder } from '../core/excludes.js'
import { limits } from '../options.js'
import { SetupFailure } from './setup-failure.js'

const FIELD = 'runtimeEnv.workingDir'
/** Read and written at once (bytes): between two pieces the daemon does other things. */
const PIECE_BYTES = 1 << 20
/** Named in the error for a directory that is too large. */
const LARGEST_NAMED = 5

interface Item {
  /** From the top, with `/`. */
  path: string
  kind: 'directory' | 'file' | 'link'
  sizeBytes: number
  executable: boolean
}

/** Copies `source`, without what `excludes` leaves out, to a directory in `into`; gives its path. Rejects with SetupFailure. */
export async function copyWorkingDir(source: string, excludes: readonly string[], into: string): Promise<string> {
  const status = await stat(source).catch(() => null)
  if (status === null) throw new SetupFailure(FIELD, `there is no directory ${source}`)
  if (!status.isDirectory()) throw new SetupFailure(FIELD, `${source} is no directory`)
  const unfinished = join(
    into,
    `unfinished-${createHash('sha256')
      .update(JSON.stringify([source, excludes]))
      .digest('hex')
      .slice(0, 16)}`,
  )
  try {
    const items = await list(source, excluder(excludes), into)
    await mkdir(unfinished, { recursive: true, mode: 0o700 })
    const hash = createHash('sha256')
    for (const item of items) await copy(source, unfinished, item, hash)
    const place = join(into, `dir-${hash.digest('hex').slice(0, 24)}`)
    // In the way: the same content of another directory.
    await rename(unfinished, place).catch(async error => {
      if ((await stat(place).catch(() => null)) === null) throw error
    })
    return place
  } catch (error) {
    throw error instanceof SetupFailure ? error : new SetupFailure(FIELD, `${source} could not be copied: ${(error as Error).message}`)
  } finally {
    await rm(unfinished, { recursive: true, force: true }).catch(() => {})
  }
}

/** Everything in it, parents first, each directory in the order of names. */
async function list(source: string, isExcluded: Excluder, into: string): Promise<Item[]> {
  const items: Item[] = []
  let bytes = 0
  const visit = async (directory: string): Promise<void> => {
    const entries = await readdir(join(source, directory), { withFileTypes: true })
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const path = directory === '' ? entry.name : `${directory}/${entry.name}`
      if (isExcluded(path, entry.isDirectory()) || join(source, path) === into) continue
      if (!entry.isDirectory() && !entry.isFile() && !entry.isSymbolicLink()) continue
      const { size, mode } = await lstat(join(source, path))
      const kind = entry.isDirectory() ? 'directory' : entry.isFile() ? 'file' : 'link'
      items.push({ path, kind, sizeBytes: kind === 'file' ? size : 0, executable: (mode & 0o100) !== 0 })
      bytes += kind === 'file' ? size : 0
      if (items.length > limits.workingDirFilesMax) throw tooLarge(source, `more than ${limits.workingDirFilesMax} files`, items)
      if (kind === 'directory') await visit(path)
    }
  }
  await visit('')
  if (bytes > limits.workingDirBytesMax) throw tooLarge(source, `${bytes} bytes, of at most ${limits.workingDirBytesMax}`, items)
  return items
}

function tooLarge(source: string, what: string, items: readonly Item[]): SetupFailure {
  const sizes = new Map<string, { bytes: number; files: number }>()
  for (const { path, sizeBytes } of items) {
    const top = path.split('/')[0] as string
    const size = sizes.get(top) ?? { bytes: 0, files: 0 }
    sizes.set(top, { bytes: size.bytes + sizeBytes, files: size.files + 1 })
  }
  const largest = [...sizes].sort(([, a], [, b]) => b.bytes - a.bytes || b.files - a.files).slice(0, LARGEST_NAMED)
  const named = largest.map(([name, { bytes, files }]) => `${name} (${bytes} bytes in ${files} files)`).join(', ')
  return new SetupFailure(
    FIELD,
    `${source} is too large to be copied: ${what}. The largest in it are ${named}: leave out with runtimeEnv.excludes what tasks do not need, and share large data with put()`,
  )
}

async function copy(source: string, target: string, { path, kind, executable }: Item, hash: Hash): Promise<void> {
  hash.update(JSON.stringify([path, kind, executable]))
  const [from, to] = [join(source, path), join(target, path)]
  if (kind === 'directory') await mkdir(to, { mode: 0o700 })
  else if (kind === 'link') {
    const link = targetOf(source, path, await readlink(from))
    hash.update(link)
    await symlink(link, to)
  } else await copyFile(from, to, executable ? 0o700 : 0o600, hash)
}

/** Links inside the directory stay as they are; those that lead out of it lead to the same place from the copy. */
function targetOf(source: string, path: string, link: string): string {
  if (isAbsolute(link)) return link
  const target = resolve(source, dirname(path), link)
  const inside = relative(source, target)
  return inside === '..' || inside.startsWith(`..${sep}`) ? target : link
}

async function copyFile(from: string, to: string, mode: number, hash: Hash): Promise<void> {
  const input = await open(from, 'r')
  try {
    const output = await open(to, 'wx', mode)
    try {
      const piece = Buffer.alloc(PIECE_BYTES)
      for (;;) {
        const { bytesRead } = await input.read(piece, 0, piece.length)
        if (bytesRead === 0) break
        hash.update(piece.subarray(0, bytesRead))
        await output.writeFile(piece.subarray(0, bytesRead))
      }
    } finally {
      await output.close()
    }
  } finally {
    await input.close()
  }
}
