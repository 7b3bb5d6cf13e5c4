// SPDX-License-Identifier: Apache-2.0
// What goes wrong in the chaos test: workers, nodes and the head die by SIGKILL at random moments, and come back.

import { state } from 'eagleray'
import type { Cluster, ClusterNode } from 'eagleray/testing'
import type { Random } from '../sim/random.js'

const NODE = { numCpus: 1, objectStoreBytes: 64 << 20 }

export class Killer {
  readonly killed: Record<string, number> = { worker: 0, node: 0, head: 0 }

  constructor(
    private readonly cluster: Cluster,
    private readonly random: Random,
    private readonly say: (text: string) => void,
  ) {}

  /** Starts the nodes that it kills later. The one beside the head stays: the driver is attached there. */
  async begin(nodes: number): Promise<void> {
    for (let i = 0; i < nodes; i++) await this.cluster.addNode(NODE)
  }

  async once(): Promise<void> {
    const what = this.random.pick(['worker', 'worker', 'worker', 'worker', 'node', 'head'])
    this.say(`kills a ${what}`)
    if (what === 'worker') await this.#worker()
    else if (what === 'node') await this.#node()
    else await this.#head()
    this.killed[what] = (this.killed[what] ?? 0) + 1
  }

  async #worker(): Promise<void> {
    const workers = (await state.listWorkers()).filter(row => row.state !== 'driver' && row.pid !== process.pid)
    if (workers.length === 0) return
    try {
      process.kill(this.random.pick(workers).pid, 'SIGKILL')
    } catch {
      // It has ended meanwhile.
    }
  }

  async #node(): Promise<void> {
    const others = this.cluster.nodes.filter(node => node !== this.cluster.headNode)
    await this.cluster.removeNode(this.random.pick(others) as ClusterNode, { graceful: false })
    await this.cluster.addNode(NODE)
  }

  async #head(): Promise<void> {
    await this.cluster.killHead()
    await new Promise(resolve => setTimeout(resolve, this.random.int(1500)))
    await this.cluster.restartHead()
  }
}
