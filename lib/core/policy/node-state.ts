// SPDX-License-Identifier: Apache-2.0
// A node as placing sees it.

import type { NodeView } from '../../wire/messages.js'

export type NodeState = Pick<NodeView, 'nodeId' | 'daemonId' | 'state' | 'labels' | 'total' | 'available'>
