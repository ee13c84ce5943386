/** Gives the addon a model, with all that it is told beside the weights. */
import { addon, type NativeModel, type NativeModelOptions } from "./binding.ts";
import type { ResolvedDevice } from "./device.ts";
import { CPU_PASS, modelNeeds } from "./model/memory.ts";
import type { ModelConfig } from "./model/model-config.ts";
import type { Precision } from "./model/precision.ts";
import { ropeInvFreq } from "./model/rope.ts";

interface LoadNativeOptions {
  config: ModelConfig;
  tensors: NativeModelOptions["tensors"];
  dtype: Precision;
  device: ResolvedDevice;
  /** As LoadModelOptions. */
  progress?: Int32Array | undefined;
}

/** @param onLayer as the addon's */
export function loadNative(
  { config, tensors, dtype, device, progress }: LoadNativeOptions,
  onLayer?: (layers: number) => void,
): Promise<NativeModel> {
  const { head_dim, rope_theta, rope_scaling } = config;
  const rope_inv_freq = ropeInvFreq(head_dim, rope_theta, rope_scaling);
  return addon.loadModel(
    {
      config: { ...config, rope_inv_freq },
      needs: modelNeeds(config),
      cpuPass: CPU_PASS,
      tensors,
      dtype,
      progress,
      ...device,
    },
    onLayer,
  );
}
