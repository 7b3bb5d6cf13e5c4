// SPDX-License-Identifier: Apache-2.0
// Numbers objects in the order in which they are first seen. A handful is searched in a list, more in a Map.

const FEW = 12

export class Identities {
  count = 0
  private readonly few: object[] = []
  private many: Map<object, number> | null = null

  reset(): void {
    this.count = 0
    this.few.length = 0
    this.many = null
  }

  /** The number of an object seen before; -1 for a new one, which gets the next number. */
  see(value: object): number {
    const { many } = this
    if (many !== null) {
      const known = many.get(value)
      if (known !== undefined) return known
      many.set(value, this.count++)
      return -1
    }
    const { few, count } = this
    for (let i = 0; i < count; i++) if (few[i] === value) return i
    if (count < FEW) few[count] = value
    else this.many = new Map([...few, value].map((each, number) => [each, number]))
    this.count++
    return -1
  }

  /** Forgets all but the first `count`. */
  truncate(count: number): void {
    if (this.many === null) this.few.length = Math.min(count, this.few.length)
    else for (const [value, number] of this.many) if (number >= count) this.many.delete(value)
    this.count = count
  }
}
