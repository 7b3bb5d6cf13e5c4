// SPDX-License-Identifier: Apache-2.0
// How a driver or worker reaches other nodes: over the ring to its own daemon.

import { WireError } from '../errors.js'
import type { WorkerId } from '../wire/messages.js'
import type { Mesh, Peer } from './mesh.js'
import type { Uplink } from './routes.js'

export class DaemonUplink implements Uplink {
  constructor(
    private readonly mesh: Mesh,
    private readonly daemonId: WorkerId,
  ) {}

  send(bytes: Uint8Array, length: number): void {
    const daemon = this.mesh.peer(this.daemonId)
    // When it is gone, so is this process soon.
    if (daemon !== null) this.mesh.pass(daemon, bytes, 0, length)
  }

  forward(): WireError {
    return new WireError('a route to another process')
  }

  trusts({ workerId }: Peer): boolean {
    return workerId === this.daemonId
  }
}
