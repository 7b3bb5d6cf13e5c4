// SPDX-License-Identifier: Apache-2.0
// The few things that a log asks of a file system; tests put one that fails in its place.

import { type FileHandle, open, readdir, readFile, rename, unlink } from 'node:fs/promises'
import { makeFolder } from '../make-folder.js'

export interface DiskFile {
  /** Writes all of it behind what is there. */
  append(bytes: Uint8Array): Promise<void>
  truncate(size: number): Promise<void>
  /** What was written survives a loss of power. */
  sync(): Promise<void>
  close(): Promise<void>
}

export interface Disk {
  makeFolder(path: string): Promise<void>
  names(folder: string): Promise<string[]>
  read(path: string): Promise<Buffer>
  /** `isNew`: there must be no such file. */
  open(path: string, isNew: boolean): Promise<DiskFile>
  rename(from: string, to: string): Promise<void>
  remove(path: string): Promise<void>
  /** What was made, renamed and removed in that folder survives a loss of power. */
  syncFolder(path: string): Promise<void>
}

class RealFile implements DiskFile {
  constructor(private readonly handle: FileHandle) {}

  async append(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; ) at += (await this.handle.write(bytes, at)).bytesWritten
  }

  truncate(size: number): Promise<void> {
    return this.handle.truncate(size)
  }

  sync(): Promise<void> {
    return this.handle.datasync()
  }

  close(): Promise<void> {
    return this.handle.close()
  }
}

export const realDisk: Disk = {
  makeFolder: async path => makeFolder(path),
  names: folder => readdir(folder),
  read: path => readFile(path),
  open: async (path, isNew) => new RealFile(await open(path, isNew ? 'ax' : 'a', 0o600)),
  rename,
  remove: unlink,
  syncFolder: async path => {
    const folder = await open(path, 'r')
    try {
      await folder.sync()
    } finally {
      await folder.close()
    }
  },
}
