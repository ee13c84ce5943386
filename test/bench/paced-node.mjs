// A node whose runner finds a nonce every so often: sockets, store and callbacks are real. It is a
// child of a bench, reports its address, and answers "memory" with what it uses.
import { pacedRunner } from "./paced-runner.mjs";
import { startBenchNode } from "./support.mjs";

const perSecond = Number(process.argv[2]);

let taken = 0;
/** When each answer went out: [nonces up to there, milliseconds]. */
const answers = [];

const runner = pacedRunner({
  perSecond,
  onAnswer: (nonces) => {
    taken += nonces;
    answers.push([taken, Number(process.hrtime.bigint()) / 1e6]);
  },
});

const node = await startBenchNode([], { startRunner: async () => runner });
process.send({ url: node.url });

process.on("message", async (message) => {
  if (message === "begin") {
    taken = 0;
    answers.length = 0;
  }
  if (message === "answers") process.send(answers);
  if (message === "memory" || message === "memory after collection") {
    if (message !== "memory") globalThis.gc(); // it takes a while: never in the middle of a run
    const { rss, heapUsed, external } = process.memoryUsage();
    const { user, system } = process.cpuUsage();
    process.send({ rss, heapUsed, external, cpuSeconds: (user + system) / 1e6 });
  }
  if (message === "close") {
    await node.close();
    process.exit(0);
  }
});
