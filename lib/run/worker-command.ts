// SPDX-License-Identifier: Apache-2.0
// How a worker is started: the daemon's variables, the flags of its job, and what its runtime environment adds to them.

import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expandVariables } from '../core/environment.js'
import type { Command } from '../io/processes.js'
import { WORKER_PROGRAM } from '../own-files.js'
import { DAEMON_ENV, type DaemonSettings, WORKER_ENV, type WorkerSettings } from './daemon-settings.js'

export function workerCommand(settings: DaemonSettings, worker: WorkerSettings, own: Command['env']): Command {
  const env: Command['env'] = { ...own }
  delete env[DAEMON_ENV]
  const { job } = worker
  if (job !== null && job.nodeOptions !== '') env.NODE_OPTIONS = job.nodeOptions
  if (settings.extraCaCerts !== null) env.NODE_EXTRA_CA_CERTS = settings.extraCaCerts
  const { envVars = {}, nodeOptions = [] } = worker.environment ?? {}
  const before = { ...env }
  for (const [name, value] of Object.entries(envVars)) env[name] = expandVariables(value, other => before[other])
  env[WORKER_ENV] = JSON.stringify(worker)
  // It goes to the copy of its workingDir by itself: paths among the flags are from the directory of the driver.
  return {
    program: process.execPath,
    args: [...(job?.execArgv ?? []), ...nodeOptions, fileURLToPath(WORKER_PROGRAM)],
    env,
    cwd: job !== null && existsSync(job.cwd) ? job.cwd : process.cwd(),
  }
}
