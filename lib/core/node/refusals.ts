// SPDX-License-Identifier: Apache-2.0
// Who may not join the node, and what may have kept a worker from it.

import { slotOf } from '../../ids.js'
import { type Control, type Environment, type Hello, PROTOCOL_VERSION, type WorkerId } from '../../wire/messages.js'

/** What processes of other nodes may say, and what their daemons alone. */
const GUEST_MESSAGES: ReadonlySet<Control['is']> = new Set(['want', 'leaseReturn', 'yields', 'killWorker'])
const DAEMON_MESSAGES: ReadonlySet<Control['is']> = new Set(['query', 'answer', 'workerDied'])

export function guestMaySay(from: WorkerId, is: Control['is']): boolean {
  return GUEST_MESSAGES.has(is) || (DAEMON_MESSAGES.has(is) && slotOf(from) === 0)
}

/** Why that process may not belong to the node; null when it may. `isLeaving`: the node is drained and about to end. */
export function refusal(hello: Hello, token: string, isLeaving: boolean): { message: string; code: string } | null {
  if (hello.token !== token) return { message: 'the token is not that of this session', code: 'ERR_EAGLERAY_AUTHENTICATION' }
  const code = 'ERR_EAGLERAY_CLUSTER_CONNECTION'
  if (hello.protocol === PROTOCOL_VERSION) {
    if (hello.kind !== 'driver') return null
    if (isLeaving) return { message: 'this node was drained and leaves its cluster: attach through another node', code }
    return hello.job === null ? { message: 'a driver that says nothing of its job', code } : null
  }
  const message = `this process speaks protocol ${hello.protocol}, the node speaks ${PROTOCOL_VERSION}: use one version of eagleray`
  return { message, code }
}

/** The fields that can keep a worker process from coming up. */
export function suspects({ nodeOptions, preload, envVars }: Environment): string {
  const fields = [
    ...(nodeOptions.length > 0 ? ['runtimeEnv.nodeOptions'] : []),
    ...(preload.length > 0 ? ['runtimeEnv.preload'] : []),
    ...(Object.keys(envVars).length > 0 ? ['runtimeEnv.envVars'] : []),
  ]
  return fields.length > 0 ? fields.join(' or ') : 'runtimeEnv'
}
