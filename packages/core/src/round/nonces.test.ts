import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type IndexRange, NonceSequence } from "./nonces.ts";

const indices = ({ start, count }: IndexRange) =>
  Array.from({ length: count }, (_, i) => start + i);

describe("NonceSequence", () => {
  it("walks first + i·step", () => {
    const sequence = new NonceSequence({ first: 2, step: 5 });
    const range = sequence.take(4);
    expect(range && indices(range).map((i) => sequence.nonceAt(i))).toEqual([2, 7, 12, 17]);
    expect(sequence.take(2)).toEqual({ start: 4, count: 2 });
  });

  it("goes on from a position", () => {
    const sequence = new NonceSequence({ first: 0, step: 1, position: 100 });
    expect(sequence.take(3)).toEqual({ start: 100, count: 3 });
  });

  it.each([
    [0, 1, 2 ** 53 - 1],
    [1, 2, 2 ** 53 - 1],
    [0, 2, 2 ** 53 - 2],
    [2, 3, 2 ** 53 - 3],
    [5, 7, 2 ** 53 - 1 - ((2 ** 53 - 1 - 5) % 7)],
    [2 ** 53 - 2, 2 ** 53 - 1, 2 ** 53 - 2],
  ])("ends with the last safe nonce from %i in steps of %i", (first, step, last) => {
    const lastIndex = (last - first) / step;
    const position = Math.max(0, lastIndex - 2);
    const sequence = new NonceSequence({ first, step, position });
    const range = sequence.take(10);
    expect(range).toEqual({ start: position, count: lastIndex - position + 1 });
    expect(sequence.nonceAt(lastIndex)).toBe(last);
    expect(Number.isSafeInteger(last + step)).toBe(false);
    expect(sequence.take(10)).toBe(null);
    sequence.giveBack({ start: lastIndex, count: 1 });
    expect(sequence.take(10)).toEqual({ start: lastIndex, count: 1 });
  });

  it("gives what came back first, lowest first, joined where it touches", () => {
    const sequence = new NonceSequence({ first: 0, step: 1 });
    for (let i = 0; i < 3; i++) sequence.take(10);
    sequence.giveBack({ start: 20, count: 10 });
    sequence.giveBack({ start: 3, count: 7 });
    sequence.giveBack({ start: 10, count: 5 });
    sequence.giveBack({ start: 0, count: 0 });
    expect(sequence.hasReturned).toBe(true);
    expect(sequence.take(8)).toEqual({ start: 3, count: 8 });
    expect(sequence.take(8)).toEqual({ start: 11, count: 4 });
    expect(sequence.take(100)).toEqual({ start: 20, count: 10 });
    expect(sequence.hasReturned).toBe(false);
    expect(sequence.take(1)).toEqual({ start: 30, count: 1 });
  });

  it("hands out every index exactly once among those not given back", () => {
    const steps = fc.array(fc.record({ take: fc.integer({ min: 1, max: 9 }), keep: fc.nat(9) }));
    fc.assert(
      fc.property(steps, (script) => {
        const sequence = new NonceSequence({ first: 0, step: 1 });
        const done: number[] = [];
        for (const { take, keep } of script) {
          const range = sequence.take(take);
          if (!range) throw new Error("the sequence ended");
          const kept = Math.min(keep, range.count);
          done.push(...indices({ start: range.start, count: kept }));
          sequence.giveBack({ start: range.start + kept, count: range.count - kept });
        }
        while (sequence.hasReturned) {
          const range = sequence.take(1000);
          if (range) done.push(...indices(range));
        }
        done.sort((a, b) => a - b);
        expect(done).toEqual(done.map((_, i) => i));
      }),
    );
  });
});
