#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// The program behind the command `eagleray`.

import './cli/main.js'
