/** What the broker's collector is shown: a fixed set of families, apart from the node's own. */
import { Gauge, Registry } from "prom-client";
import type { Gpu } from "../platform/gpus.ts";

const SCHEMA = "1";

interface MlnodeSources {
  version: string;
  /** The model's name, precision, runners and context; null until it is loaded. */
  model: () => { name: string; dtype: string; runners: number; max_seq_len: number } | null;
  gpus: () => Promise<readonly Gpu[]>;
}

/** @returns what writes them in Prometheus' text format */
export function mlnodeMetrics({ version, model, gpus }: MlnodeSources): () => Promise<string> {
  const registry = new Registry();
  const info = (name: string, help: string, labels: Record<string, string>) => {
    const gauge = new Gauge({ name, help, labelNames: Object.keys(labels), registers: [registry] });
    gauge.set(labels, 1);
  };
  info("gonka_metrics_schema_info", "Which families there are.", { version: SCHEMA });
  info("mlnode_version_info", "What answers.", { version });
  const labelNames = [
    ...["model_name", "dtype", "replicas", "max_num_seqs", "max_model_len"],
    ...["tensor_parallel_size", "pipeline_parallel_size"],
  ] as const;
  new Gauge({
    name: "mlnode_config_info",
    help: "The model and how it runs.",
    labelNames,
    registers: [registry],
    collect() {
      this.reset();
      const loaded = model();
      if (!loaded) return;
      this.set(
        {
          model_name: loaded.name,
          dtype: loaded.dtype,
          replicas: String(loaded.runners),
          max_num_seqs: "",
          max_model_len: String(loaded.max_seq_len),
          tensor_parallel_size: "1",
          pipeline_parallel_size: "1",
        },
        1,
      );
    },
  });
  const ofGpu = (name: string, help: string, value: (gpu: Gpu) => number | null) =>
    new Gauge({
      name,
      help,
      labelNames: ["gpu", "name"],
      registers: [registry],
      async collect() {
        this.reset();
        for (const gpu of await gpus()) {
          const now = value(gpu);
          if (now !== null) this.set({ gpu: String(gpu.index), name: gpu.name }, now);
        }
      },
    });
  const mebibytes = (count: number | null) => (count === null ? null : count * 2 ** 20);
  ofGpu("mlnode_gpu_memory_total_bytes", "Its memory.", (gpu) => mebibytes(gpu.total_memory_mb));
  ofGpu("mlnode_gpu_memory_used_bytes", "In use.", (gpu) => mebibytes(gpu.used_memory_mb));
  ofGpu("mlnode_gpu_utilization_percent", "As the driver says.", (gpu) => gpu.utilization_percent);
  ofGpu("mlnode_gpu_temperature_celsius", "As the driver says.", (gpu) => gpu.temperature_c);
  return () => registry.metrics();
}
