#include "config.h"

#include <algorithm>
#include <cstdint>

#include "device/error.h"

namespace proofmill {

size_t Config::longest() const {
  return std::min<size_t>(max_position_embeddings, UINT32_MAX / hidden_size);
}

void Config::check() const {
  for (const auto& [name, member, greatest] : kConfigSizes) {
    const size_t size = this->*member;
    if (size < 1 || size > greatest) {
      fail("%s must be between 1 and %zu, not %zu", name, greatest, size);
    }
  }
  if (num_attention_heads % num_key_value_heads != 0) {
    fail("num_attention_heads (%zu) must be a multiple of num_key_value_heads (%zu)",
         num_attention_heads, num_key_value_heads);
  }
  if (head_dim % 2 != 0) fail("head_dim must be even, not %zu", head_dim);
  if (rope_inv_freq.size() != head_dim / 2) {
    fail("rope_inv_freq must hold head_dim / 2 = %zu numbers, not %zu", head_dim / 2,
         rope_inv_freq.size());
  }
}

}  // namespace proofmill
