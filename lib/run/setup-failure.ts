// SPDX-License-Identifier: Apache-2.0

/** Part of a runtime environment could not be set up. Becomes a RuntimeEnvError at whoever waits for it. */
export class SetupFailure extends Error {
  override readonly name = 'SetupFailure'

  constructor(
    /** Of RuntimeEnv, such as `runtimeEnv.npm`. */
    readonly field: string,
    message: string,
  ) {
    super(message)
  }
}
