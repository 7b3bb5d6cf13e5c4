// SPDX-License-Identifier: Apache-2.0
// How fast objects go to disk and come back, beside what `dd` writes and reads there. What is read back is out of the page cache first.
// Usage: node bench/spill.mjs [directory]

import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ObjectStore } from 'eagleray/store'

const MIB = 1 << 20
const directory = mkdtempSync(join(process.argv[2] ?? tmpdir(), 'eagleray-bench-'))
const dd = (...operands) => execFileSync('dd', operands, { stdio: 'ignore' })
const timed = async (bytes, work) => {
  const began = performance.now()
  await work()
  return +(bytes / 1e6 / (performance.now() - began)).toFixed(2)
}
/** Has the system write the file out and forget it. */
const forget = path => dd(`of=${path}`, 'oflag=nocache', 'conv=notrunc,fdatasync', 'count=0')

const figures = {}
const file = join(directory, 'dd')
figures['dd writes'] = await timed(1024 * MIB, () => dd('if=/dev/zero', `of=${file}`, 'bs=1M', 'count=1024'))
forget(file)
figures['dd reads'] = await timed(1024 * MIB, () => dd(`if=${file}`, 'of=/dev/null', 'bs=1M'))
rmSync(file)

const store = await ObjectStore.create({ capacityBytes: 256 * MIB, spillDir: directory })
const block = new Uint8Array(8 * MIB - 4096).fill(1)
const ids = []
for (let i = 0; i < 30; i++) ids.push(store.put(block))
const before = store.stats().spilledBytes
const began = performance.now()
for (let i = 0; i < 100; i++) ids.push(store.put(block))
figures.spill = +((store.stats().spilledBytes - before) / 1e6 / (performance.now() - began)).toFixed(2)
const folder = join(directory, readdirSync(directory)[0])
for (const name of readdirSync(folder)) if (name !== 'lock') forget(join(folder, name))
const spilled = store.list().filter(object => object.spilled)
figures.restore = await timed(spilled.length * block.length, async () => {
  for (const { id } of spilled) (await store.get(id)).release()
})
store.close()
rmSync(directory, { recursive: true })
for (const [row, gigabytesPerSecond] of Object.entries(figures)) console.log(JSON.stringify({ row, gigabytesPerSecond }))
