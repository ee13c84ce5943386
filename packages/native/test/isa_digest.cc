// Prints a digest of the bits that each instruction set computes: distances, artifacts and logits
// of a small random model with odd sizes, over several lengths and both precisions. Equal tags must
// give equal digests on every machine, also an emulated one. Every operation is also compared with
// the plainest instruction set's; one that is off is printed, and the exit status is 1. AGENTS.md
// has the commands.
#include <cinttypes>
#include <cstdio>

#include "device/compare.h"
#include "device/cpu/cpu_backend.h"
#include "engine/prefill.h"

using namespace proofmill;

#if defined(__x86_64__)
namespace proofmill::avx512_bf16_emulated {
extern const Kernels table;
}
#endif

namespace {

Config small_config() {
  Config c;
  c.hidden_size = 61;
  c.intermediate_size = 101;
  c.num_hidden_layers = 2;
  c.num_attention_heads = 6;
  c.num_key_value_heads = 2;
  c.head_dim = 12;
  c.vocab_size = 301;
  c.max_position_embeddings = 512;
  c.rms_norm_eps = 1e-6f;
  for (int j = 0; j < 6; j++) c.rope_inv_freq.push_back(1.0 / (1 << j));
  c.qk_norm = true;
  c.qkv_bias = true;
  c.tie_word_embeddings = true;
  return c;
}

TensorMap random_tensors(const Config& c) {
  TensorMap tensors;
  const auto add = [&](const std::string& name, std::vector<size_t> shape) {
    Tensor tensor;
    tensor.name = name;
    tensor.shape = std::move(shape);
    tensor.seed = static_cast<uint32_t>(tensors.size());
    tensors.emplace(name, tensor);
  };
  const size_t q = c.attention().q_width(), kv = c.attention().kv_width();
  for (size_t i = 0; i < c.num_hidden_layers; i++) {
    const std::string layer = "model.layers." + std::to_string(i) + ".";
    const std::string attn = layer + "self_attn.";
    add(layer + "input_layernorm.weight", {c.hidden_size});
    add(layer + "post_attention_layernorm.weight", {c.hidden_size});
    for (const auto& [name, width] : {std::pair{"q", q}, {"k", kv}, {"v", kv}}) {
      add(attn + name + "_proj.weight", {width, c.hidden_size});
      add(attn + name + "_proj.bias", {width});
    }
    add(attn + "q_norm.weight", {c.head_dim});
    add(attn + "k_norm.weight", {c.head_dim});
    add(attn + "o_proj.weight", {c.hidden_size, q});
    add(layer + "mlp.gate_proj.weight", {c.intermediate_size, c.hidden_size});
    add(layer + "mlp.up_proj.weight", {c.intermediate_size, c.hidden_size});
    add(layer + "mlp.down_proj.weight", {c.hidden_size, c.intermediate_size});
  }
  add("model.norm.weight", {c.hidden_size});
  add("model.embed_tokens.weight", {c.vocab_size, c.hidden_size});
  return tensors;
}

// FNV-1a
uint64_t digest(const std::vector<float>& values, uint64_t hash) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(values.data());
  for (size_t i = 0; i < values.size() * sizeof(float); i++) {
    hash = (hash ^ bytes[i]) * 1099511628211u;
  }
  return hash;
}

// Whether every operation on ragged shapes is as on the CPU that every machine has.
bool operations_hold(const Kernels& kernels, Precision precision) {
  const std::unique_ptr<Backend> backend = make_cpu_backend(precision, 2, kernels);
  const std::unique_ptr<Backend> plain = make_cpu_backend(precision, 2, cpu_isas().back());
  bool hold = true;
  for (const OperationCheck& check : compare_operations(*backend, *plain, precision)) {
    if (check.holds()) continue;
    hold = false;
    std::printf("%s: %s, %s: %g is more than %g\n", kernels.isa, check.operation.c_str(),
                check.shape.c_str(), check.error, check.allowed);
  }
  return hold;
}

// One nonce's values after the other, [seeds, width].
std::vector<float> run(Prefill& prefill, const std::vector<uint32_t>& seeds, size_t seq_len,
                       OutputKind kind) {
  Output output;
  output.kind = kind;
  output.permutation_seeds = seeds;
  output.k = 5;
  output.layer_seeds = {1, 2};
  output.pick_seeds = seeds;
  for (const uint32_t seed : seeds) {
    for (uint32_t j = 1; j < 5; j++) output.rotation_seeds.push_back(seed + j);
  }
  const size_t width = prefill.readout(kind).width(output);
  std::vector<float> out(seeds.size() * width);
  for (size_t done = 0; done < seeds.size();) {
    const size_t sequences = prefill.sequences_of_pass(seq_len, seeds.size() - done);
    prefill.begin(
        {seeds.data() + done, 1, sequences, seq_len, output, done, out.data() + done * width},
        [] {});
    prefill.wait();
    done += sequences;
  }
  return out;
}

bool print(const Kernels& kernels) {
  bool hold = true;
  const Config config = small_config();
  const TensorMap tensors = random_tensors(config);
  std::vector<uint32_t> seeds(37);
  for (size_t i = 0; i < seeds.size(); i++) seeds[i] = static_cast<uint32_t>(i * 7919);
  for (const Precision precision : {Precision::bfloat16, Precision::float32}) {
    Prefill prefill(
        Model(config, {}, tensors, make_cpu_backend(precision, 2, kernels, {1024, 128})));
    uint64_t hash = 14695981039346656037u;
    for (const size_t seq_len : {1, 5, 17, 64, 130}) {
      for (const OutputKind kind :
           {OutputKind::logits, OutputKind::distance, OutputKind::artifact}) {
        hash = digest(run(prefill, seeds, seq_len, kind), hash);
      }
    }
    std::printf("%-20s %-18s %016" PRIx64 "\n", kernels.isa,
                prefill.model().backend().arithmetic().c_str(), hash);
    hold = operations_hold(kernels, precision) && hold;
  }
  return hold;
}

}  // namespace

int main() {
  size_t count;
  const Kernels* const* all = available_kernels(&count);
  bool hold = true;
  for (size_t i = 0; i < count; i++) hold = print(*all[i]) && hold;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    hold = print(avx512_bf16_emulated::table) && hold;
  }
#endif
  return hold ? 0 : 1;
}
