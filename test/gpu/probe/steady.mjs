// A search alone, under way all the time: nonces per second, and the GPU's clocks and power meanwhile.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { job, open, seedsOf } from "./common.mjs";

const JOBS_AT_ONCE = 4;
/** What the device computes together, so many times, is a job. */
const PASSES = 2;
const WARM_UP_SECONDS = 2;
const SAMPLED = {
  watts: "power.draw",
  sm_mhz: "clocks.sm",
  memory_mhz: "clocks.mem",
  degrees: "temperature.gpu",
  capped: "clocks_event_reasons.sw_power_cap",
};

export async function steady(model, seq_len, seconds) {
  const runner = await open({ model, dtype: "bfloat16" });
  const { arithmetic, device, num_hidden_layers: layers, preferred_tokens } = runner.info;
  const seeds = seedsOf(PASSES * Math.max(1, Math.floor(preferred_tokens / seq_len)));
  let id = 0;
  /** Nonces per second, second after second, and nonces in all. */
  const stretch = async (seconds) => {
    const rates = [];
    const began = performance.now();
    let [nonces, counted, since] = [0, 0, began];
    const searcher = async () => {
      do {
        await runner.run(job({ id: id++, seq_len, seeds, kind: "distance", layers }));
        nonces += seeds.length;
        const now = performance.now();
        if (now - since < 1000) continue;
        rates.push((1000 * (nonces - counted)) / (now - since));
        [counted, since] = [nonces, now];
      } while (performance.now() - began < 1000 * seconds);
    };
    await Promise.all(Array.from({ length: JOBS_AT_ONCE }, searcher));
    return { rates, nonces, seconds: (performance.now() - began) / 1000 };
  };
  await stretch(WARM_UP_SECONDS); // what the driver says of power is the mean of a second
  const samples = sampleGpu();
  const { rates, nonces, seconds: lasted } = await stretch(seconds);
  const rows = await samples.end();
  await runner.close();
  const rate = nonces / lasted;
  console.log(`${arithmetic} on ${device}, ${model}, seq_len ${seq_len}, jobs of ${seeds.length}`);
  console.log(`nonces/s each second: ${rates.map((each) => each.toFixed(0)).join(" ")}`);
  console.log(`${rate.toFixed(1)} nonces/s over ${lasted.toFixed(1)} s`);
  console.log(
    rows.length > 0
      ? ofGpu(rows, rate)
      : "clocks and power: nvidia-smi said nothing, so joules are not known",
  );
}

function ofGpu(rows, rate) {
  const of = (name) => rows.map((row) => row[name]).filter(Number.isFinite);
  const mean = (name) => of(name).reduce((sum, each) => sum + each, 0) / of(name).length;
  const most = (name) => of(name).reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const watts = mean("watts");
  return (
    `${watts.toFixed(0)} W (at most ${most("watts").toFixed(0)}), SM ${mean("sm_mhz").toFixed(0)} MHz, ` +
    `memory ${mean("memory_mhz").toFixed(0)} MHz, ${most("degrees")} °C, power-capped ` +
    `${(100 * mean("capped")).toFixed(0)} % of ${rows.length} samples: ${(watts / rate).toPrecision(4)} J a nonce`
  );
}

/** What nvidia-smi says of the first GPU five times a second, until `end`. */
function sampleGpu() {
  const query = `--query-gpu=${Object.values(SAMPLED).join()}`;
  const args = ["-i", "0", query, "--format=csv,noheader,nounits", "-lms", "200"];
  const child = spawn("nvidia-smi", args, { stdio: ["ignore", "pipe", "ignore"] });
  const closed = once(child, "close").catch(() => {}); // where there is no such program
  const rows = [];
  createInterface({ input: child.stdout }).on("line", (line) => {
    const values = line.split(", ").map((text) => {
      if (text === "Active") return 1;
      return text === "Not Active" ? 0 : Number(text);
    });
    const row = Object.fromEntries(Object.keys(SAMPLED).map((name, i) => [name, values[i]]));
    if (Number.isFinite(row.watts)) rows.push(row);
  });
  return {
    async end() {
      child.kill();
      await closed;
      return rows;
    },
  };
}
