// SPDX-License-Identifier: Apache-2.0
// A parameter server: one actor holds the weights of a model, and workers improve them, each from its own share of the
// data and at its own pace. Nobody waits for the slowest.
//
// The model is a line through points in four dimensions, so the right weights are known.

import { type ActorHandle, get, remote, shutdown } from 'eagleray'

const TRUE_WEIGHTS = [2, -1, 0.5, 3]
const WORKERS = 3
const STEPS = 200
const POINTS = 512
const RATE = 0.05

// A class with async methods answers many calls at once, on one event loop in a process of its own. Between two awaits
// nothing else runs, so its state needs no lock.
class ParameterServer {
  weights: Float64Array
  updates = 0

  constructor(size: number) {
    this.weights = new Float64Array(size)
  }

  async pull(): Promise<Float64Array> {
    return this.weights
  }

  async push(gradient: Float64Array): Promise<void> {
    this.weights = this.weights.map((weight, i) => weight - RATE * gradient[i]!)
    this.updates++
  }

  async result() {
    return { weights: [...this.weights], updates: this.updates }
  }
}

/** The worker's share of the points: worker k always makes the same ones. */
function pointsOf(worker: number): { inputs: number[][]; outputs: number[] } {
  let state = worker + 1
  const random = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 31 - 1
  const inputs = Array.from({ length: POINTS }, () => TRUE_WEIGHTS.map(random))
  return { inputs, outputs: inputs.map(x => x.reduce((sum, value, i) => sum + value * TRUE_WEIGHTS[i]!, 0)) }
}

// A worker is a task: it gets the server's handle as an argument and calls it like any other actor.
const train = remote(async function train(server: ActorHandle<ParameterServer>, worker: number): Promise<number> {
  const { inputs, outputs } = pointsOf(worker)
  for (let step = 0; step < STEPS; step++) {
    const weights = await get(server.pull.remote())
    const gradient = new Float64Array(weights.length)
    inputs.forEach((x, p) => {
      const error = x.reduce((sum, value, i) => sum + value * weights[i]!, 0) - outputs[p]!
      x.forEach((value, i) => {
        gradient[i]! += (2 * error * value) / POINTS
      })
    })
    // Not awaited: the calls of one caller arrive in order, so the next pull sees this push.
    server.push.remote(gradient)
  }
  return STEPS
})

const server = remote(ParameterServer).remote(TRUE_WEIGHTS.length)
const steps = await get(Array.from({ length: WORKERS }, (_, worker) => train.remote(server, worker)))
const { weights } = await get(server.result.remote())

console.log(`${WORKERS} workers made ${steps.reduce((sum, each) => sum + each, 0)} steps`)
console.log(`learned ${weights.map(weight => weight.toFixed(3)).join(', ')}; true weights are ${TRUE_WEIGHTS.join(', ')}`)

await shutdown()
