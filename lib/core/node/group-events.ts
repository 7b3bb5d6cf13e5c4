// SPDX-License-Identifier: Apache-2.0
// What a node and its head tell each other of placement groups. Two phases: the head has every node of a group set its
// bundles aside (prepare), and only when all have, it says that they serve (commit); otherwise they give them back.
//
// `attempt` names one such try, of one run of the head, for ever: a message of an earlier one never meets a later one.

import type { BundleNeed, GroupView } from '../../wire/messages.js'

export interface BundlePrepare {
  is: 'bundlePrepare'
  groupId: string
  attempt: string
  bundles: BundleNeed[]
}
export interface BundleCommit {
  is: 'bundleCommit'
  groupId: string
  attempt: string
}
/** What runs inside is ended. `attempt` null: all bundles of the group. */
export interface BundleReturn {
  is: 'bundleReturn'
  groupId: string
  attempt: string | null
  why: string
}
/** Of a group that the node asked about. Null: there is no such group any more. */
export interface GroupChanged {
  is: 'groupChanged'
  groupId: string
  view: GroupView | null
}

export interface BundlePrepared {
  is: 'bundlePrepared'
  groupId: string
  attempt: string
}
export interface BundleRefused {
  is: 'bundleRefused'
  groupId: string
  attempt: string
}
/** Work that waits here wants to know where the bundles are: `groupChanged` comes now and at each change. */
export interface WatchGroup {
  is: 'watchGroup'
  groupId: string
}

export type GroupToNode = BundlePrepare | BundleCommit | BundleReturn | GroupChanged
export type NodeToGroup = BundlePrepared | BundleRefused | WatchGroup
