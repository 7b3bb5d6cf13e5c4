// SPDX-License-Identifier: Apache-2.0
// What goes wrong in the chaos test: workers, nodes, drivers and the head die by SIGKILL at random moments, and others take
// their places; nodes take their leave, or say nothing for as long as it takes to be declared dead, or shorter.

import { state } from 'eagleray'
import type { Cluster, ClusterNode } from 'eagleray/testing'
import { Random } from '../sim/random.js'
import { Deck, type Fault } from './deck.js'
import type { Drivers } from './drivers.js'
import type { Weather } from './scene.js'

const NODE = { numCpus: 1, objectStoreBytes: 64 << 20 }
/** Shorter or longer than a node may be silent. */
const FREEZE_MS = 9_000

export class Killer {
  readonly killed: Partial<Record<Fault, number>> = {}
  readonly #deck: Deck
  readonly #thaws = new Set<Promise<void>>()

  constructor(
    private readonly cluster: Cluster,
    private readonly drivers: Drivers,
    private readonly weather: Weather,
    private readonly random: Random,
    private readonly say: (text: string) => void,
  ) {
    // One of its own: how often the other is asked depends on what there is to kill.
    this.#deck = new Deck(new Random(random.int(2 ** 31)))
  }

  /** Starts the nodes that it kills later. The one beside the head stays: drivers are attached there. */
  async begin(nodes: number): Promise<void> {
    for (let i = 0; i < nodes; i++) await this.cluster.addNode(NODE)
  }

  get sawAll(): boolean {
    return this.#deck.sawAll
  }

  async once(): Promise<void> {
    const fault = this.#deck.next()
    if (fault === 'worker') await this.#worker()
    else if (fault === 'head') await this.#head()
    else if (fault === 'driver') await this.#driver()
    else if (fault === 'freeze') this.#freeze()
    else await this.#node(fault === 'stop')
    this.killed[fault] = (this.killed[fault] ?? 0) + 1
  }

  /** Nothing is frozen any more. */
  async end(): Promise<void> {
    await Promise.all(this.#thaws)
  }

  async #worker(): Promise<void> {
    const workers = (await state.listWorkers()).filter(row => row.state !== 'driver')
    if (workers.length === 0) return
    const { pid, nodeId, state: was } = this.random.pick(workers)
    this.say(`kills the worker ${pid} (${was}) of ${nodeId}`)
    signal(pid, 'SIGKILL')
  }

  async #driver(): Promise<void> {
    this.say('kills a driver')
    await this.drivers.killOne(this.random)
  }

  async #node(graceful: boolean): Promise<void> {
    const node = this.#victim()
    this.say(`${graceful ? 'stops' : 'kills'} the node ${node.nodeId}`)
    await this.cluster.removeNode(node, { graceful })
    const next = await this.cluster.addNode(NODE)
    this.say(`the node ${next.nodeId} has come`)
  }

  #freeze(): void {
    const [{ pid, nodeId }, forMs] = [this.#victim(), this.random.int(FREEZE_MS)]
    this.say(`freezes the node ${nodeId} for ${forMs} ms`)
    signal(pid, 'SIGSTOP')
    const thaw = new Promise(resolve => setTimeout(resolve, forMs)).then(() => {
      this.#thaws.delete(thaw)
      signal(pid, 'SIGCONT')
    })
    this.#thaws.add(thaw)
  }

  #victim(): ClusterNode {
    this.weather.nodesLost++
    this.drivers.nodeLost()
    return this.random.pick(this.cluster.nodes.filter(node => node !== this.cluster.headNode))
  }

  async #head(): Promise<void> {
    const pauseMs = this.random.int(1500)
    this.say(`kills the head for ${pauseMs} ms`)
    await this.cluster.killHead()
    await new Promise(resolve => setTimeout(resolve, pauseMs))
    await this.cluster.restartHead()
  }
}

/** It may have ended meanwhile: a node that a slow machine kept silent for too long is ended, and comes back as another. */
function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
