// SPDX-License-Identifier: Apache-2.0
// eagleray: tasks, actors and immutable objects on shared memory.

export type { ActorClass, ActorHandle, ActorOptions, MethodOptions, RemoteMethod } from './api/actor-class.js'
export { exitActor, getActor, kill, ready } from './api/actors.js'
export type { Bundle, PlacementGroupStrategy } from './api/bundles.js'
export { asCompleted, type Mappable, mapUnordered } from './api/completed.js'
export {
  availableResources,
  clusterResources,
  getGpuIds,
  getNodeIpAddress,
  getRuntimeContext,
  type NodeRow,
  nodes,
  type RuntimeContext,
} from './api/context.js'
export { type ClusterContext, type InitOptions, init, isInitialized, shutdown } from './api/init.js'
export {
  type ArrayBuilder,
  cancel,
  createArray,
  explain,
  type GetOptions,
  get,
  put,
  release,
  type TypedArray,
  type ValueOf,
  type WaitOptions,
  wait,
} from './api/objects.js'
export {
  getPlacementGroup,
  PlacementGroup,
  type PlacementGroupOptions,
  placementGroup,
  placementGroupStrategy,
  removePlacementGroup,
} from './api/placement-group.js'
export { ActorPool } from './api/pool.js'
export { Queue, type QueueOptions } from './api/queue.js'
export { remote } from './api/remote.js'
export type { RemoteFunction } from './api/remote-function.js'
export type { RuntimeEnv } from './api/runtime-env.js'
export { type ActorRow, type ObjectRow, state, type TaskRow, type WorkerRow } from './api/state.js'
export { type NodeAffinity, nodeAffinity, type PlacementOptions, type SchedulingStrategy } from './api/strategy.js'
export type { ErrorClass, ResourceOptions, TaskOptions } from './api/task-options.js'
export { deregisterSerializer, registerSerializer } from './codec/value.js'
export * from './errors.js'
export type { Explanation } from './run/explain.js'
export { ObjectRef } from './run/ref.js'
