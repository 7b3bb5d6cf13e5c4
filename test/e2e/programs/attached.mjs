// SPDX-License-Identifier: Apache-2.0
// Attaches to a running cluster, and does what it is told, line by line, until it is told to leave.
import { existsSync, writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { get, getActor, init, put, remote, shutdown } from 'eagleray'

const [name] = process.argv.slice(2)
const { nodeId, jobId, address } = await init({ namespace: name })
console.log(`attached ${JSON.stringify({ nodeId, jobId, address })}`)

/** Says in the file who runs it, and runs until there is another. */
const running = remote(async path => {
  writeFileSync(path, String(process.pid))
  while (!existsSync(`${path}.end`)) await new Promise(resolve => setTimeout(resolve, 5))
})
/** Leaves it running, and waits for nothing. */
const bequeathing = remote(path => void running.remote(path), { numCpus: 0 })
class Keeper {
  async bequeath(path) {
    await get(bequeathing.remote(path))
  }
  pid() {
    return process.pid
  }
}
const where = remote(() => ({ pid: process.pid, cwd: process.cwd() }))
const say = remote(text => console.log(text))
const there = remote(() => console.log('printed there'), { resources: { there: 0.001 } })
const forever = remote(() => new Promise(() => {}))
const kept = []

const does = {
  where: async () => get(where.remote()),
  say: async text => get(say.remote(text)),
  there: async () => get(there.remote()),
  actor: async () => {
    kept.push(remote(Keeper).remote())
    return get(kept.at(-1).pid.remote())
  },
  detached: async () => get(remote(Keeper, { name: 'kept', lifetime: 'detached' }).remote().pid.remote()),
  named: async () => get((await getActor('kept')).pid.remote()),
  bequeath: async path => get(bequeathing.remote(path)),
  bequeathByKept: async path => get((await getActor('kept')).bequeath.remote(path)),
  run: async () => {
    kept.push(forever.remote())
    return 'running'
  },
  put: async () => {
    kept.push(put(new Uint8Array(200_000)))
    return kept.at(-1).id
  },
  view: async () => {
    const ref = put(new Uint8Array(200_000))
    kept.push(await get(ref))
    return ref.id
  },
  crash: async () => {
    await shutdown()
    process.kill(process.pid, 'SIGKILL')
  },
  leave: async () => {
    await shutdown()
    process.exit(0)
  },
}

for await (const line of createInterface({ input: process.stdin })) {
  const [what, ...rest] = line.split(' ')
  const answer = await does[what](...rest).catch(error => ({ error: `${error.name}: ${error.message}` }))
  console.log(`${what} ${JSON.stringify(answer ?? null)}`)
}
