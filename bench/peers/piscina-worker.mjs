// SPDX-License-Identifier: Apache-2.0
// What piscina's threads run.

export const increment = n => n + 1
export const echo = array => array
