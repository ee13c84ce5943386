import { NodeError, RoundError, UnavailableError } from "@proofmill/client";
import { expect, test } from "vitest";
import { orExit } from "./remote.ts";

const ending = (error: Error) =>
  orExit(() => Promise.reject(error)).catch(({ message }) => message);

test("a refusal in few words says what to do", async () => {
  const detail = "Could not be stored";
  const refused = new UnavailableError(detail, {
    code: "STORE_FAILED",
    status: 503,
    retryAfter: 5,
  });
  expect(await ending(refused)).toBe(`${detail}: proofmill status says why`);
  const round = new RoundError("Round already in progress", { code: "ROUND_IN_PROGRESS" });
  expect(await ending(round)).toBe("Round already in progress: proofmill stop ends it");
  const other = new NodeError("Computation failed", { code: "COMPUTE_FAILED", status: 500 });
  expect(await ending(other)).toBe("Computation failed");
});
