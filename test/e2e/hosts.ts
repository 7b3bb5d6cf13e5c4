// SPDX-License-Identifier: Apache-2.0
// Hosts for tests: two network namespaces with an address each, joined by a cable that can be pulled. Needs root and `ip`.

import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A machine of its own as far as the network goes: nothing of this one's loopback or addresses is seen from it. */
export class Host {
  /** Its user's records: other hosts' are not found there. */
  readonly home = mkdtempSync(join(tmpdir(), 'eagleray-host-'))

  constructor(
    readonly name: string,
    readonly address: string,
    readonly cable: string,
  ) {}

  /** What runs a command on it. */
  get under(): string[] {
    return ['ip', 'netns', 'exec', this.name]
  }

  env(token: string): Record<string, string> {
    return { EAGLERAY_HOME: this.home, EAGLERAY_TOKEN: token }
  }

  async run(command: string[], env: Record<string, string>): Promise<{ code: number | null; output: string }> {
    const [ip, ...args] = [...this.under, ...command] as [string, ...string[]]
    const child = spawn(ip, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text: Buffer) => (output += text.toString()))
    return { code: await new Promise(resolve => child.on('close', resolve)), output }
  }

  pull(): void {
    must('ip', '-n', this.name, 'link', 'set', this.cable, 'down')
  }

  plug(): void {
    must('ip', '-n', this.name, 'link', 'set', this.cable, 'up')
  }

  remove(): void {
    spawnSync('ip', ['netns', 'del', this.name])
    rmSync(this.home, { recursive: true, force: true })
  }
}

/** Two hosts that reach each other; null where this user may not make them. */
export function twoHosts(): [Host, Host] | null {
  const tag = `er${process.pid}`
  const hosts: [Host, Host] = [new Host(`${tag}a`, '10.77.0.1', `${tag}v`), new Host(`${tag}b`, '10.77.0.2', `${tag}w`)]
  const [a, b] = hosts
  try {
    for (const host of hosts) must('ip', 'netns', 'add', host.name)
    must('ip', '-n', a.name, 'link', 'add', a.cable, 'type', 'veth', 'peer', 'name', b.cable, 'netns', b.name)
    for (const host of hosts) {
      must('ip', '-n', host.name, 'addr', 'add', `${host.address}/24`, 'dev', host.cable)
      must('ip', '-n', host.name, 'link', 'set', 'lo', 'up')
      host.plug()
    }
    return hosts
  } catch {
    for (const host of hosts) host.remove()
    return null
  }
}

function must(command: string, ...args: string[]): void {
  const { status, stderr, error } = spawnSync(command, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${error?.message ?? stderr}`)
}
