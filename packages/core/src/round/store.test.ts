import { describe, expect, it } from "vitest";
import { CONFIG } from "../test-support.ts";
import { MemoryRoundStore, type RoundProgress } from "./store.ts";

const roundOf = (round_id: string) => ({ round_id, scheme: "distance", config: CONFIG });

const progress = (from: number, position: number, nonces: number[] = []): RoundProgress => ({
  from,
  nonces,
  records: nonces.map((nonce) => nonce / 8),
  arithmetic: "fake-1",
  counters: {
    position,
    total_nonfinite: 0,
    elapsed_seconds: position,
    generating_seconds: 1,
    searched_with: null,
  },
});

describe("MemoryRoundStore", () => {
  it("has no round at first", async () => {
    const store = new MemoryRoundStore();
    expect(await store.recent()).toEqual([]);
  });

  it("keeps a round with its progress, and gives out copies", async () => {
    const store = new MemoryRoundStore();
    await store.create(roundOf("a"));
    await store.append("a", progress(0, 4, [1, 3]));
    await store.append("a", progress(4, 8, [5]));
    const expected = {
      ...roundOf("a"),
      counters: progress(4, 8).counters,
      nonces: [1, 3, 5],
      records: [0.125, 0.375, 0.625],
    };
    const read = await store.recent();
    expect(read).toEqual([expected]);
    read[0]?.nonces.push(99);
    expect(await store.recent()).toEqual([expected]);
  });

  it("takes the same progress twice without doubling its finds", async () => {
    const store = new MemoryRoundStore();
    await store.create(roundOf("a"));
    await store.append("a", progress(0, 4, [1]));
    await store.append("a", progress(0, 4, [1]));
    expect(await store.recent()).toMatchObject([{ nonces: [1], counters: { position: 4 } }]);
  });

  it("refuses a gap and an unknown round", async () => {
    const store = new MemoryRoundStore();
    await store.create(roundOf("a"));
    await expect(store.append("a", progress(4, 8))).rejects.toThrow("only 0 is stored");
    await expect(store.append("b", progress(0, 4))).rejects.toThrow("not kept");
  });

  it("keeps the last two rounds", async () => {
    const store = new MemoryRoundStore();
    for (const round_id of ["a", "b", "c"]) await store.create(roundOf(round_id));
    expect((await store.recent()).map(({ round_id }) => round_id)).toEqual(["b", "c"]);
  });

  it("tells the greatest id of what it keeps", async () => {
    const store = new MemoryRoundStore();
    expect(await store.greatestId()).toBe(null);
    for (const round_id of ["z", "b", "a"]) await store.create(roundOf(round_id));
    expect(await store.greatestId()).toBe("b");
  });
});
