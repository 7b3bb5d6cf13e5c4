// SPDX-License-Identifier: Apache-2.0
// Every limit of the system, with unit, default and reason. Crossing one is back-pressure or a typed error, never growth.

export const limits = {
  /** Bytes of an argument or result that travel inside the message; larger ones go through the store (Ray: 100 KiB). */
  inlineBytesMax: 100 * 1024,
  /** Bytes of all inlined arguments of one task; what is beyond goes through the store, so that a frame fits a packet. */
  taskInlineBytesMax: 100 * 1024,
  /** Bytes up to which a sealed object is copied out on get rather than wrapped in an external buffer (which costs microseconds and a GC hint). */
  copyOutBytesMax: 4096,
  /** Tasks an owner has queued at one leased worker. They can be taken back, so depth costs nothing but claim words (256 a channel). */
  pipelineDepthMax: 128,
  /** Workers an owner asks for at once in one class: more would only queue in the node. */
  wantMax: 256,
  /** How long an idle lease is kept for the next task of its class (ms). Ray: 500. Reclaimed at once when others wait. */
  leaseIdleMs: 200,
  /** How long a busy lease may be kept once others wait (ms), so that no owner starves another. */
  leaseQuantumMs: 100,
  /** Bytes queued for one peer whose ring is full, before `.remote()` and `put` are refused. Beyond a second's worth of small tasks. */
  peerQueueBytesMax: 1 << 30,
  /** Default retries of a task whose worker died (Ray: 3). */
  maxRetriesDefault: 3,
  /** Concurrent calls of an async actor (Ray: 1000). */
  asyncConcurrencyDefault: 1000,
  /** How long a class that fits no node may wait before its tasks fail, where no autoscaler runs (ms). */
  infeasibleAfterMs: 10_000,
  /** Lines of stderr kept of each worker for the error that tells of its death. */
  stderrTailLines: 20,
  /** How long a worker may take to say hello (ms; Ray: 60 s). */
  workerStartMs: 60_000,
  /** How long an actor may take to finish what was submitted before it is killed, once out of scope or exiting (ms; Ray: 30 s). */
  actorStopMs: 30_000,
  /** Microseconds a process polls its rings after the last packet before it sleeps. */
  spinMicros: 100,
  /** Tasks kept by each owner for the state API after they ended. */
  finishedTasksKept: 1_000,
} as const
