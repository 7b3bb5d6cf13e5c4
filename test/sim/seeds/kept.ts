// SPDX-License-Identifier: Apache-2.0
// Seeds that once failed, with what was wrong then. They are run first, and stay: with the worlds as they are now a seed is
// another course of events than it was when it failed, but one that came close to something.

export const keptSeeds: readonly [seed: number, what: string][] = [
  [302, 'a lease given back before it was heard of became that of the next task, whose waits then never ended'],
  [116, 'a copy on a node that its owner’s daemon had not been told of was never removed'],
  [63, 'the owner of leases on another node died, and they were kept'],
  [347, 'the head died before it had answered a node, which waited for that for ever'],
  [634, 'an actor that was started twice by a head that was restarted lost its calls'],
  [259, 'what a dead process owned stayed: the timer of its removal went by another clock than the node'],
  [1512, 'calls through a second handle, got by name, overtook those of the first when the head was restarted'],
  [2971, 'a death that was told twice left objects of the dead in a store'],
  [3536, 'as 1512, with two handles by name'],
  [1054, 'what a dead process had stayed where its timer was early by the clock of the node, or a copy came late'],
  [253, 'the name of a run of the head had a space in it, and bundles were never given back'],
  [291, 'a node declared dead while it lived'],
  [13380, 'a node whose link the head had given up waited for an answer: the model told it nothing'],
  [4996, 'a head that was restarted answered a later handle before it told an earlier one what the head before had not'],
]
