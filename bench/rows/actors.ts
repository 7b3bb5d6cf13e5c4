// SPDX-License-Identifier: Apache-2.0
// Ray's microbenchmark: the rows on actors whose methods are plain, one call at a time. The methods that wait return a
// promise instead of being `async`, so that the classes stay such actors.

import { cpus } from 'node:os'
import { type ActorHandle, get, type ObjectRef, put, remote } from 'eagleray'
import type { Row } from '../row.js'

const group = 'ray microbenchmark'

class Server {
  smallValue(): Uint8Array {
    return Uint8Array.of(111, 107)
  }
  smallValueArg(_x: number): Uint8Array {
    return Uint8Array.of(111, 107)
  }
}
const Actor = remote(Server, { numCpus: 0 })

export const Client = remote(
  class {
    servers: Pick<ActorHandle<Server>, 'smallValue' | 'smallValueArg'>[]
    constructor(servers: Pick<ActorHandle<Server>, 'smallValue' | 'smallValueArg'>[]) {
      this.servers = servers
    }
    smallValueBatch(n: number): Promise<void> {
      return get(this.servers.flatMap(server => Array.from({ length: n }, () => server.smallValue.remote()))).then(() => undefined)
    }
    smallValueBatchArg(n: number): Promise<void> {
      const x: ObjectRef<number> = put(0)
      return get(this.servers.flatMap(server => Array.from({ length: n }, () => server.smallValueArg.remote(x)))).then(() => undefined)
    }
  },
  { numCpus: 0 },
)

export const halfOfCpus = Math.max(1, cpus().length >> 1)

const work = remote((actors: ActorHandle<Server>[], n: number) =>
  get(Array.from({ length: n }, (_, i) => (actors[i % actors.length] as ActorHandle<Server>).smallValue.remote())).then(() => undefined),
)

const createAll = (count: number): ActorHandle<Server>[] => Array.from({ length: count }, () => Actor.remote())
const dropAll = (handles: Disposable[]): void => handles.forEach(handle => void handle[Symbol.dispose]())

const row = (name: string, multiplier: number, prepare: Row['prepare'], inner = 1): Row => ({
  name,
  group,
  unit: '/s',
  multiplier,
  inner,
  prepare,
})

export const actorRows: Row[] = [
  row(
    '1:1 actor calls sync',
    1,
    () => {
      const [actor] = createAll(1) as [ActorHandle<Server>]
      return { run: () => get(actor.smallValue.remote()), stop: () => dropAll([actor]) }
    },
    10,
  ),
  row('1:1 actor calls async', 1000, () => {
    const [actor] = createAll(1) as [ActorHandle<Server>]
    return { run: () => get(Array.from({ length: 1000 }, () => actor.smallValue.remote())), stop: () => dropAll([actor]) }
  }),
  row('1:1 actor calls concurrent', 1000, () => {
    const actor = Actor.options({ maxConcurrency: 16 }).remote()
    return { run: () => get(Array.from({ length: 1000 }, () => actor.smallValue.remote())), stop: () => dropAll([actor]) }
  }),
  row('1:n actor calls async', 5000 * halfOfCpus, () => {
    const actors = createAll(halfOfCpus)
    const client = Client.remote(actors)
    return { run: () => get(client.smallValueBatch.remote(5000)), stop: () => dropAll([client, ...actors]) }
  }),
  row('n:n actor calls async', 4 * 5000, () => {
    const actors = createAll(halfOfCpus)
    return { run: () => get(Array.from({ length: 4 }, () => work.remote(actors, 5000))), stop: () => dropAll(actors) }
  }),
  row('n:n actor calls with arg async', 1000 * halfOfCpus, () => {
    const actors = createAll(halfOfCpus)
    const clients = actors.map(actor => Client.remote([actor]))
    return { run: () => get(clients.map(client => client.smallValueBatchArg.remote(1000))), stop: () => dropAll([...clients, ...actors]) }
  }),
]
