// Tensors as they lie in a checkpoint: mapped, read-only, of any storage type.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace proofmill {

enum class DType { bf16, f16, f32 };

// Precision of the inputs of matrix products; sums and the residual stream are float32 in both.
enum class Precision { bfloat16, float32 };

size_t size_of(DType dtype);
DType parse_dtype(const std::string& name);  // "BF16" | "F16" | "F32", else throws

// A read-only mapping of a whole file; unmapped with its last owner.
class MappedFile {
 public:
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  const std::string& path() const { return path_; }
  // Lets the kernel drop these pages again: they are read once, and count as resident until then.
  void release(const std::byte* begin, size_t bytes) const;

 private:
  std::string path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// A row-major tensor inside a mapped file; copies share the mapping. Without a file its values are
// drawn from `seed`: what benches measure does not depend on them.
struct Tensor {
  std::string name;
  DType dtype = DType::f32;
  std::vector<size_t> shape;
  std::shared_ptr<const MappedFile> file;
  size_t offset = 0;  // bytes from the start of the file
  uint32_t seed = 0;

  size_t elements() const;
  // Widens elements [begin, begin + count) to float32, exactly.
  void read(size_t begin, size_t count, float* out) const;
  // The same, rounded to bfloat16; what is stored so is copied.
  void read_bf16(size_t begin, size_t count, uint16_t* out) const;
  void release() const;

 private:
  // Where element `begin` lies, if `count` of them lie in the file.
  const std::byte* stored(size_t begin, size_t count) const;
};

}  // namespace proofmill
