import { MemoryRoundStore, PocService, type RunnerInfo } from "@proofmill/core";
import { createFakeRunner } from "@proofmill/core/testing";
import { expect, onTestFinished, test } from "vitest";
import { healthOf } from "./health.ts";
import { roundIdAfter } from "./round-id.ts";

async function healthWith(...states: RunnerInfo["state"][]) {
  const service = await PocService.open({
    enabled: true,
    store: new MemoryRoundStore(),
    newRoundId: roundIdAfter,
    defaults: { batch_size: 32, seq_len: 256 },
  });
  onTestFinished(() => service.close());
  service.attach(createFakeRunner());
  const infos = states.map((state, i) => ({
    ...{ id: `cpu:${i}`, state, device: null, arithmetic: null, pid: null, reason: null },
    ...{ restarts: 0, memory: null, peak_memory: null },
  }));
  const { reasons, warnings } = healthOf({ service, runners: () => infos });
  const short = (notes: typeof reasons) => notes.map(({ code, text }) => [code, text.slice(0, 17)]);
  return { reasons: short(reasons), warnings: short(warnings) };
}

test("a runner that stands still is a warning while another works", async () => {
  expect(await healthWith("alive", "stalled")).toEqual({
    reasons: [],
    warnings: [["RUNNER_STALLED", "Runner stands sti"]],
  });
});

test("it is a reason where none works; what else is wrong stays a warning", async () => {
  expect(await healthWith("lost", "stalled", "restarting")).toEqual({
    reasons: [["RUNNER_STALLED", "Runner stands sti"]],
    warnings: [
      ["RUNNER_LOST", "The runner cpu:0 "],
      ["RUNNER_RESTARTING", "The runner cpu:2 "],
    ],
  });
});
