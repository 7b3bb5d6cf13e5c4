// SPDX-License-Identifier: Apache-2.0
// What names a storage, told before anything is opened or started.

/** Throws TypeError for what names none. */
export function checkStorageName(what: string, name: string): void {
  const isFolder = name.startsWith('file:') && name.length > 'file:'.length
  const isRedis = /^rediss?:\/\//.test(name) && URL.canParse(name)
  if (name === 'memory' || isFolder || isRedis) return
  throw new TypeError(`${what} must be memory, file:DIR or redis://host:port, not ${JSON.stringify(name)}`)
}
