// Three hundred subscribers who come at once to a long list, and read all of it.
import { again, webSocketBytes, writeOnly } from "../sockets.mjs";

const SUBSCRIPTION = { id: 1, method: "subscription", params: { path: "pow.onValidNonces" } };

export const node = { finds: 32_000 };

export const attack = (target) =>
  again({ count: 300, milliseconds: 3000 }, async () =>
    (await writeOnly(target, webSocketBytes([SUBSCRIPTION]))).resume(),
  );
