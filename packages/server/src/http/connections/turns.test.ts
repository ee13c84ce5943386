import { EventEmitter } from "node:events";
import type { Server } from "node:http";
import { Socket } from "node:net";
import { setImmediate as nextTurn } from "node:timers/promises";
import { expect, test } from "vitest";
import { Intake } from "./intake.ts";
import { Arrivals, Lanes, Turns } from "./turns.ts";
import { Unfinished } from "./unfinished.ts";

/** Keeps the event loop for so long, milliseconds. */
function work(milliseconds: number): void {
  for (const end = performance.now() + milliseconds; performance.now() < end; );
}

/** For each turn of the event loop, how much `count` grew in it, until it is `all`. */
async function growth(count: () => number, all: number): Promise<number[]> {
  const steps: number[] = [];
  for (let last = count(); last < all; ) {
    await nextTurn();
    steps.push(count() - last);
    last = count();
  }
  return steps;
}

test("what takes long begins once in a turn of the event loop, in the order in which it came", async () => {
  const turns = new Turns({ arrivals: new Arrivals() });
  const begun: number[] = [];
  for (let i = 0; i < 20; i++) {
    turns.take(() => {
      work(1.5);
      begun.push(i);
    });
  }
  expect(begun).toEqual([]);
  expect(Math.max(...(await growth(() => begun.length, 20)))).toBe(1);
  expect(begun).toEqual(Array.from({ length: 20 }, (_, i) => i));
});

test("while connections come the patient waits, and the impatient does not", async () => {
  const arrivals = new Arrivals();
  const server = new EventEmitter();
  arrivals.watch(server as Server);
  const turns = [new Turns({ arrivals, isPatient: true }), new Turns({ arrivals })];
  const begun: string[] = [];
  server.emit("connection");
  turns[0]?.take(() => begun.push("patient"));
  turns[1]?.take(() => begun.push("impatient"));
  for (let i = 0; i < 10; i++) {
    server.emit("connection");
    await nextTurn();
  }
  expect(begun).toEqual(["impatient"]);
  await turns[0]?.next();
  expect(begun).toEqual(["impatient", "patient"]);
});

test("connections that never end to come do not keep the patient for ever", async () => {
  const arrivals = new Arrivals();
  const server = new EventEmitter();
  arrivals.watch(server as Server);
  const turns = new Turns({ arrivals, isPatient: true });
  let hasBegun = false;
  turns.take(() => {
    hasBegun = true;
  });
  while (!hasBegun) {
    server.emit("connection");
    await nextTurn();
  }
});

test("of what many connections have sent each has its first piece parsed, the rest by turns", async () => {
  const { reading } = new Lanes();
  const unfinished = new Unfinished(1000);
  const pieces: string[] = [];
  const sockets = Array.from({ length: 40 }, (_, number) => {
    const socket = new Socket();
    socket.on("data", (piece: Buffer) => {
      work(0.3);
      pieces.push(`${number}:${piece}`);
    });
    const onEnd = () => {};
    new Intake(socket, { turns: reading, unfinished, isFull: () => false, piece: () => 1, onEnd });
    return socket;
  });
  for (const socket of sockets) socket.emit("data", Buffer.from("abcd"));
  // A few have time for more.
  expect(pieces.length).toBeGreaterThanOrEqual(40);
  expect(pieces.length).toBeLessThan(50);
  const steps = await growth(() => pieces.length, 160);
  expect(Math.max(...steps)).toBeLessThan(12);
  for (let number = 0; number < 40; number++) {
    const own = pieces.filter((piece) => piece.startsWith(`${number}:`));
    expect(own).toEqual([..."abcd"].map((letter) => `${number}:${letter}`));
  }
});
