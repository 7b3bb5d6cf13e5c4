// SPDX-License-Identifier: Apache-2.0
// The job of a driver: what it tells its workers, so that they find its code as it does, and what they do with it.

import { loadLate } from '../codec/function/late-loaders.js'
import type { JobSpec } from '../wire/messages.js'
import { withoutLoaders } from './loader-flags.js'

/** Of drivers that only look at a cluster, which are left out of the lists of jobs. */
export const INTERNAL_NAMESPACE = '_eagleray_internal'

/** The job of this process as a driver. `driver` is to be filled in once it has joined a node. */
export function jobOfThisProcess(jobId: string, namespace: string | undefined, moreFlags: readonly string[] = []): JobSpec {
  const own = withoutLoaders(workerFlags(process.execArgv))
  const inherited = workerNodeOptions(process.env.NODE_OPTIONS ?? '')
  return {
    jobId,
    namespace: namespace ?? `anonymous-${randomName()}`,
    driver: '',
    cwd: process.cwd(),
    loaders: [...new Set([...inherited.loaders, ...own.loaders])],
    execArgv: [...own.flags, ...moreFlags],
    nodeOptions: inherited.text,
  }
}

/** The job of a process that must have one. */
export function jobOf({ job }: { readonly job: JobSpec | null }): JobSpec {
  if (job === null) throw new Error('this worker belongs to no job yet: use the API in tasks and actors')
  return job
}

/** From now on this process works for that job. Its directory may exist on the driver's machine only; then the process stays where it is. */
export function enterJob(job: JobSpec): void {
  loadLate(job.loaders, job.cwd)
  // What the user's code starts by `fork` has them from its start.
  for (const loader of job.loaders) process.execArgv.push('--import', loader)
  try {
    process.chdir(job.cwd)
  } catch {
    // Said above.
  }
}

/** The flags of this process that its workers need too: loaders and conditions, nothing that evaluates, watches or debugs. */
export function workerFlags(execArgv: readonly string[]): string[] {
  const flags: string[] = []
  for (let i = 0; i < execArgv.length; i++) {
    const flag = execArgv[i] as string
    const name = flag.split('=')[0] as string
    if (VALUED.has(name)) {
      if (!flag.includes('=')) i++
    } else if (!UNWANTED.test(name)) flags.push(flag)
  }
  return flags
}

/** Unwanted flags whose value may be the next argument. */
const VALUED = new Set([
  '-e',
  '--eval',
  '-p',
  '--print',
  '-pe',
  '--input-type',
  '--watch-path',
  '--inspect-port',
  '--debug-port',
  '--cpu-prof-interval',
  '--cpu-prof-dir',
  '--cpu-prof-name',
  '--heap-prof-interval',
  '--heap-prof-dir',
  '--heap-prof-name',
  '--diagnostic-dir',
  '--test-name-pattern',
  '--test-skip-pattern',
  '--test-reporter',
  '--test-reporter-destination',
])
const UNWANTED =
  /^(-i|--interactive|-c|--check|--watch.*|--test.*|--inspect.*|--cpu-prof.*|--heap-prof.*|--prof|--run|--experimental-test.*)$/

/** As `workerFlags`, of the text of NODE_OPTIONS, with loaders apart. With quoted values, which only Node itself can split, it stays as it is. */
export function workerNodeOptions(text: string): { text: string; loaders: string[] } {
  if (text.includes('"')) return { text, loaders: [] }
  const { flags, loaders } = withoutLoaders(workerFlags(text.split(/\s+/).filter(flag => flag !== '')))
  return { text: flags.join(' '), loaders }
}

function randomName(): string {
  return process.getBuiltinModule('node:crypto').randomBytes(8).toString('hex')
}
