// SPDX-License-Identifier: Apache-2.0
// The figures of a store as Prometheus reads them (exposition format 0.0.4).

import type { ObjectInfo, StoreStats } from '../store.js'

interface Metric {
  name: string
  type: 'gauge' | 'counter'
  help: string
  value(stats: StoreStats): number
}

const METRICS: Metric[] = [
  { name: 'capacity_bytes', type: 'gauge', help: 'Memory for objects.', value: stats => stats.capacityBytes },
  { name: 'used_bytes', type: 'gauge', help: 'Memory that objects take, in whole blocks.', value: stats => stats.usedBytes },
  {
    name: 'largest_free_bytes',
    type: 'gauge',
    help: 'Largest object that fits without making room.',
    value: stats => stats.largestFreeBytes,
  },
  { name: 'objects', type: 'gauge', help: 'Objects, also those being made or deleted.', value: stats => stats.objects },
  { name: 'sealed_objects', type: 'gauge', help: 'Objects that can be read, in memory or on disk.', value: stats => stats.sealed },
  { name: 'disk_objects', type: 'gauge', help: 'Objects that are on disk alone.', value: stats => stats.spilled },
  { name: 'disk_bytes', type: 'gauge', help: 'Disk that files of spilled objects take.', value: stats => stats.diskBytes },
  { name: 'pins', type: 'gauge', help: 'Pairs of an object and a process that views it.', value: stats => stats.pins },
  { name: 'clients', type: 'gauge', help: 'Processes that have the store open.', value: stats => stats.clients },
  { name: 'spilled_objects_total', type: 'counter', help: 'Objects written to disk.', value: stats => stats.spilledObjects },
  { name: 'spilled_bytes_total', type: 'counter', help: 'Bytes written to disk.', value: stats => stats.spilledBytes },
  { name: 'restored_objects_total', type: 'counter', help: 'Objects read back from disk.', value: stats => stats.restoredObjects },
  { name: 'restored_bytes_total', type: 'counter', help: 'Bytes read back from disk.', value: stats => stats.restoredBytes },
  { name: 'evicted_objects_total', type: 'counter', help: 'Objects taken out of memory.', value: stats => stats.evictedObjects },
]

export function metricsText(path: string, stats: StoreStats, objects: ObjectInfo[]): string {
  const store = `store="${escaped(path)}"`
  const lines: string[] = []
  const begin = (name: string, type: string, help: string): void => {
    lines.push(`# HELP eagleray_store_${name} ${help}`, `# TYPE eagleray_store_${name} ${type}`)
  }
  for (const { name, type, help, value } of METRICS) {
    begin(name, type, help)
    lines.push(`eagleray_store_${name}{${store}} ${value(stats)}`)
  }
  const byProcess = (name: string, help: string, pidsOf: (object: ObjectInfo) => number[]): void => {
    begin(name, 'gauge', help)
    const sums = new Map<number, number>()
    for (const object of objects) for (const pid of pidsOf(object)) sums.set(pid, (sums.get(pid) ?? 0) + object.sizeBytes)
    for (const [pid, bytes] of sums) lines.push(`eagleray_store_${name}{${store},pid="${pid}"} ${bytes}`)
  }
  byProcess('made_bytes', 'Bytes of the objects that a process made; pid 0: processes that are gone.', object => [object.createdBy])
  byProcess('viewed_bytes', 'Bytes of the objects that a process views.', object => object.pinnedBy)
  return `${lines.join('\n')}\n`
}

function escaped(label: string): string {
  return label.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}
