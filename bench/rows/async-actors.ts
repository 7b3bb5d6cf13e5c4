// SPDX-License-Identifier: Apache-2.0
// Ray's microbenchmark: the rows on actors whose methods are async.

import { type ActorHandle, get, remote } from 'eagleray'
import type { Row } from '../row.js'
import { Client, halfOfCpus } from './actors.js'

const group = 'ray microbenchmark'

class AsyncServer {
  async smallValue(): Promise<Uint8Array> {
    return Uint8Array.of(111, 107)
  }
  async smallValueArg(_x: number): Promise<Uint8Array> {
    return Uint8Array.of(111, 107)
  }
}
const AsyncActor = remote(AsyncServer)

const asyncWork = remote((actors: ActorHandle<AsyncServer>[], n: number) =>
  get(Array.from({ length: n }, (_, i) => (actors[i % actors.length] as ActorHandle<AsyncServer>).smallValue.remote())).then(
    () => undefined,
  ),
)

const createAll = (count: number): ActorHandle<AsyncServer>[] => Array.from({ length: count }, () => AsyncActor.remote())
const dropAll = (handles: Disposable[]): void => handles.forEach(handle => void handle[Symbol.dispose]())

const row = (name: string, multiplier: number, prepare: Row['prepare'], inner = 1): Row => ({
  name,
  group,
  unit: '/s',
  multiplier,
  inner,
  prepare,
})

export const asyncActorRows: Row[] = [
  row(
    '1:1 async-actor calls sync',
    1,
    () => {
      const [actor] = createAll(1) as [ActorHandle<AsyncServer>]
      return { run: () => get(actor.smallValue.remote()), stop: () => dropAll([actor]) }
    },
    10,
  ),
  row('1:1 async-actor calls async', 1000, () => {
    const [actor] = createAll(1) as [ActorHandle<AsyncServer>]
    return { run: () => get(Array.from({ length: 1000 }, () => actor.smallValue.remote())), stop: () => dropAll([actor]) }
  }),
  row('1:1 async-actor calls with args async', 1000, () => {
    const [actor] = createAll(1) as [ActorHandle<AsyncServer>]
    return { run: () => get(Array.from({ length: 1000 }, (_, i) => actor.smallValueArg.remote(i))), stop: () => dropAll([actor]) }
  }),
  row('1:n async-actor calls async', 5000 * halfOfCpus, () => {
    const actors = createAll(halfOfCpus)
    const client = Client.remote(actors)
    return { run: () => get(client.smallValueBatch.remote(5000)), stop: () => dropAll([client, ...actors]) }
  }),
  row('n:n async-actor calls async', 4 * 5000, () => {
    const actors = createAll(halfOfCpus)
    return { run: () => get(Array.from({ length: 4 }, () => asyncWork.remote(actors, 5000))), stop: () => dropAll(actors) }
  }),
]
