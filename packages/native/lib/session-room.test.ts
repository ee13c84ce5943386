import { expect, test } from "vitest";
import { sizeText } from "./model/memory.ts";
import { shapeConfig } from "./model/shapes.ts";
import { sessionRoom } from "./session-room.ts";

const MIB = 2 ** 20;

/** What a GPU says of a model; a search takes 1000 MiB of what is left. */
const onGpu = (left: number) => ({
  longest: 4096,
  stepRows: 256,
  stepScratchBytes: 10 * MIB,
  pageBytes: () => MIB,
  passBytes: () => 1000 * MIB,
  memoryLeft: () => left,
});
const roomOf = (left: number, kvCacheMemory?: number) =>
  sessionRoom(onGpu(left), shapeConfig("qwen3-tiny"), {
    ...{ maxModelLen: 4096, left: 0, kvCacheMemory },
  });

test("sessions on a GPU get a quarter of what is left, or what a search leaves of it", () => {
  expect(roomOf(2000 * MIB).bytes / MIB).toBeCloseTo(500, -1);
  const tight = roomOf(1150 * MIB); // a quarter would be more than the 150 that are left
  expect(tight.bytes).toBeLessThanOrEqual(150 * MIB);
  expect(tight.limits.pages).toBeGreaterThan(50);
  expect(() => roomOf(1150 * MIB, 280 * MIB)).toThrow(
    /^inference needs \d+\.\d (M|G)iB of memory beside the weights and the search, 0\.1 GiB are/,
  );
  expect(() => roomOf(1000 * MIB)).toThrow(`the search, ${sizeText(0)} are available`);
});
