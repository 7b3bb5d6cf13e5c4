// SPDX-License-Identifier: Apache-2.0
// One cluster from import to shutdown in a process of its own, timed. Asks its parent for the memory figures, because
// reading them here would count in them. Prints nothing; sends { name: value } once at the end.

import { once } from 'node:events'

const started = performance.now()
const { get, init, remote, shutdown } = await import('eagleray')
const figures = { import: performance.now() - started }

async function timed(name, work) {
  const from = performance.now()
  const result = await work()
  figures[name] = performance.now() - from
  return result
}

async function memory(name) {
  const answered = once(process, 'message')
  process.send({ measure: name })
  await answered
}

class Answering {
  answer() {
    return 1
  }
}
const Actor = remote(Answering, { numCpus: 0 })
const one = remote(() => 1)

await timed('init, 2 CPUs', () => init({ numCpus: 2 }))
await timed('first task after init', () => get(one.remote()))
await memory('resident memory, idle after the first task')
const first = await timed('first actor, until its first answer', async () => {
  const actor = Actor.remote()
  await get(actor.answer.remote())
  return actor
})
const actors = await timed('20 actors at once, until all have answered', async () => {
  const handles = Array.from({ length: 20 }, () => Actor.remote())
  await get(handles.map(handle => handle.answer.remote()))
  return handles
})
await memory('resident memory with 21 actors')
for (const handle of [first, ...actors]) handle[Symbol.dispose]()
await timed('shutdown', shutdown)
process.send({ figures })
process.disconnect()
