// Answers with all the logprobs that there are, as wholes and as streams, which nobody reads.
import { again, post, writeOnly } from "../sockets.mjs";

/** Chats are answered while no search is at work. */
export const node = { state: "STOPPED" };
/** No commands, which would close the gate, and no chats, which wait their turn behind the attack's. */
export const honest =
  "status,status on a connection of its own,page,batch,WebSocket call,documents,proof";

const ANSWERS = [
  { stream: true, max_tokens: 2000 },
  { stream: false, max_tokens: 2000 },
  { stream: true, max_tokens: 100, n: 8 },
];

export const attack = (target) =>
  again({ count: 300, milliseconds: 4000 }, (number) => {
    const body = {
      ...{ messages: [{ role: "user", content: "a" }], ignore_eos: true },
      ...{ logprobs: true, top_logprobs: 20, ...ANSWERS[number % ANSWERS.length] },
    };
    return writeOnly(target, post("/v1/chat/completions", body));
  });
