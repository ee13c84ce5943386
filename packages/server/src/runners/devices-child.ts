/** Opens the devices of this machine, says what they are, and ends. */
import type { DevicesAnswer, DevicesQuestion } from "./devices.ts";

process.once("message", async (question: DevicesQuestion) => {
  process.send?.(await answer(question), () => process.disconnect());
});

async function answer(question: DevicesQuestion): Promise<DevicesAnswer> {
  try {
    const { countGpus, describeDevices } = await import("@proofmill/native/devices");
    return question === "count GPUs" ? { gpus: countGpus() } : describeDevices();
  } catch (error) {
    return { fault: error instanceof Error ? error.message : String(error) };
  }
}
