import fc from "fast-check";
import { expect, test } from "vitest";
import { FoundList, sectionOf } from "./found-list.ts";

test("every part is the JSON that JSON.stringify would write, while the list grows", () => {
  const item = fc.oneof(
    fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
    fc.float({ noNaN: true, noDefaultInfinity: true }),
    fc.string({ maxLength: 4 }),
    fc.constantFrom("é", "😀", "\u2028", '"\\'),
  );
  const step = fc.record({ added: fc.array(item), since: fc.nat(40), limit: fc.nat(40) });
  fc.assert(
    fc.property(fc.array(item), fc.array(step), (first, steps) => {
      const list = new FoundList([...first]);
      const expected = [...first];
      const given: [Uint8Array, string][] = [];
      for (const { added, since, limit } of steps) {
        list.append(added);
        expected.push(...added);
        const items = list.slice(since, limit);
        expect(items).toEqual(expected.slice(since, since + limit));
        const section = sectionOf(items);
        const bytes = list.json(section?.since ?? 0, section?.end ?? 0);
        given.push([bytes, JSON.stringify(items).slice(1, -1)]);
      }
      // Also those that were given out before the list grew.
      for (const [bytes, text] of given) expect(Buffer.from(bytes).toString()).toBe(text);
    }),
  );
});

test("all who ask for the same part get the same array and the same bytes", () => {
  const list = new FoundList(Array.from({ length: 1000 }, (_, i) => i / 3));
  expect(list.slice(0, 1000)).toBe(list.slice(0, Number.MAX_SAFE_INTEGER));
  const [whole, part] = [list.json(0, 1000), list.json(500, 1000)];
  expect(part.buffer).toBe(whole.buffer);
  expect(part.byteOffset + part.length).toBe(whole.byteOffset + whole.length);
  expect(sectionOf([1, 2, 3])).toBeUndefined();
});

test("a number is written when it comes, not when somebody asks", () => {
  let written = 0;
  const number = (value: number) => {
    const write = () => {
      written++;
      return String(value);
    };
    return { toString: write } as unknown as number;
  };
  const list = new FoundList([number(1), number(2)]);
  list.append([number(3)]);
  expect(written).toBe(3);
  expect(Buffer.from(list.json(0, 3)).toString()).toBe("1,2,3");
  expect(Buffer.from(list.json(1, 2)).toString()).toBe("2");
  expect(written).toBe(3);
});
