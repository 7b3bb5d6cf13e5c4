// SPDX-License-Identifier: Apache-2.0
// Mocha's spec output, plus the counts as JSON in the file named by EAGLERAY_TEST_COUNTS, for test/run.mjs to add up.
'use strict'

const { writeFileSync } = require('node:fs')
const { reporters, Runner } = require('mocha')

module.exports = class CountingReporter extends reporters.Spec {
  constructor(runner, options) {
    super(runner, options)
    runner.once(Runner.constants.EVENT_RUN_END, () => {
      const { passes, failures, pending } = runner.stats
      const path = process.env.EAGLERAY_TEST_COUNTS
      if (path) writeFileSync(path, JSON.stringify({ passed: passes, failed: failures, pending }))
    })
  }
}
