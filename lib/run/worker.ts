// SPDX-License-Identifier: Apache-2.0
// Main program of a worker process: attaches to the node's store, says hello, and runs what it is sent.

import { writeFileSync } from 'node:fs'
import '../api/remote.js'
import { native } from '../native.js'
import { limits } from '../options.js'
import { PROTOCOL_VERSION } from '../wire/messages.js'
import { WORKER_ENV, type WorkerSettings } from './daemon-settings.js'
import { enterEnvironment, preload } from './environment-start.js'
import { Executor } from './executor.js'
import { enterJob } from './job.js'
import { nameOutput } from './output-name.js'
import { Runtime, SPIN_MICROS, session } from './runtime.js'
import { currentContext } from './task-context.js'

const SIGKILL = 9

async function start(seat: WorkerSettings): Promise<void> {
  // Not `process.ppid`: where the daemon has died meanwhile, that is whoever adopted this process.
  if (!native.dieWithParent(seat.daemonPid, SIGKILL)) process.exit(0)
  offerToMemoryKiller()
  const { environment } = seat
  if (seat.job !== null) enterJob(seat.job)
  enterEnvironment(seat)
  const store = native.openStore(seat.storePath)
  const runtime = new Runtime(
    store,
    seat.daemonId,
    {
      onWelcome: () => {},
      onMessage: () => {},
      onNodeLost: () => process.exit(1),
    },
    SPIN_MICROS,
  )
  runtime.runner = new Executor(runtime)
  session.runtime = runtime
  nameOutput(() => (runtime.isActor ? null : (currentContext()?.name ?? null)))
  runtime.environment = environment
  runtime.job = seat.job
  runtime.stay()
  // The terminal's ctrl-C is for the driver; the daemon ends its workers itself.
  process.on('SIGINT', () => {})
  if (environment !== null && environment.preload.length > 0 && !(await preloaded(environment.preload, seat, runtime))) return
  runtime.send(seat.daemonId, {
    is: 'hello',
    protocol: PROTOCOL_VERSION,
    workerId: store.workerId,
    pid: process.pid,
    kind: 'worker',
    token: seat.token,
    job: null,
  })
}

/** False when it did not work: the node has been told, and ends this process. */
async function preloaded(modules: readonly string[], seat: WorkerSettings, runtime: Runtime): Promise<boolean> {
  session.notYet = 'a module of runtimeEnv.preload runs before its worker belongs to the session: use the API in tasks and actors'
  try {
    await preload(modules)
    return true
  } catch (error) {
    const { message } = error as Error
    runtime.send(seat.daemonId, { is: 'envFailed', pid: process.pid, token: seat.token, field: 'runtimeEnv.preload', message })
    runtime.mesh.flush()
    return false
  } finally {
    session.notYet = null
  }
}

/** Where the kernel has to end somebody for memory, it takes a worker rather than the driver or the daemon, which would take all along. */
function offerToMemoryKiller(): void {
  try {
    writeFileSync('/proc/self/oom_score_adj', '1000')
  } catch {
    // Not permitted, or no such file here: then it decides by size alone.
  }
}

const seat = process.env[WORKER_ENV]
if (seat === undefined) {
  process.stderr.write('eagleray: this program is started by the node daemon, not by hand\n')
  process.exit(2)
}
delete process.env[WORKER_ENV]
Error.stackTraceLimit = Math.max(Error.stackTraceLimit, limits.stderrTailLines)
void start(JSON.parse(seat) as WorkerSettings)
