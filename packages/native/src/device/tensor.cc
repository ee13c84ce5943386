#include "tensor.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "error.h"
#include "random.h"

namespace proofmill {

size_t size_of(DType dtype) { return dtype == DType::f32 ? 4 : 2; }

DType parse_dtype(const std::string& name) {
  if (name == "BF16") return DType::bf16;
  if (name == "F16") return DType::f16;
  if (name == "F32") return DType::f32;
  fail("dtype %s is not one of BF16, F16, F32", name.c_str());
}

MappedFile::MappedFile(const std::string& path) : path_(path) {
  // O_NONBLOCK: the path led to a regular file when it was checked; should it lead to a pipe by
  // now, opening it must not wait for a writer.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) fail("%s: %s", path.c_str(), std::strerror(errno));
  struct stat info {};
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || info.st_size <= 0) {
    close(fd);
    fail("%s: cannot be mapped: it is empty, unreadable or no regular file", path.c_str());
  }
  size_ = static_cast<size_t>(info.st_size);
  void* mapped = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd, 0);
  const int error = errno;
  close(fd);
  if (mapped == MAP_FAILED) fail("%s: mmap: %s", path.c_str(), std::strerror(error));
  data_ = static_cast<const std::byte*>(mapped);
}

MappedFile::~MappedFile() { munmap(const_cast<std::byte*>(data_), size_); }

void MappedFile::release(const std::byte* begin, size_t bytes) const {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t first = static_cast<size_t>(begin - data_) / page * page;
  const size_t last = (static_cast<size_t>(begin - data_) + bytes) / page * page;
  if (last > first) {
    madvise(const_cast<std::byte*>(data_) + first, last - first, MADV_DONTNEED);
  }
}

size_t Tensor::elements() const {
  size_t n = 1;
  for (const size_t extent : shape) n *= extent;
  return n;
}

namespace {

float widen_f16(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000u) << 16;
  const uint32_t exponent = (h >> 10) & 0x1fu;
  const uint32_t mantissa = h & 0x3ffu;
  if (exponent == 0x1f) return rng::float_of(sign | 0x7f800000u | (mantissa << 13));
  if (exponent != 0) return rng::float_of(sign | ((exponent + 112u) << 23) | (mantissa << 13));
  const float subnormal = static_cast<float>(mantissa) * 5.9604644775390625e-8f;  // 2^-24, exact
  return rng::float_of(sign | rng::bits_of(subnormal));
}

}  // namespace

void Tensor::read(size_t begin, size_t count, float* out) const {
  if (!file) {
    // Norms are 1, matrices uniform with standard deviation 0.02.
    for (size_t i = 0; i < count; i++) {
      const uint32_t h = rng::hash(static_cast<uint32_t>(begin + i), seed);
      out[i] = shape.size() == 1 ? 1.0f : (rng::uniform(h) - 0.5f) * 0.0692820323f;
    }
    return;
  }
  const std::byte* at = stored(begin, count);
  for (size_t i = 0; i < count; i++) {
    if (dtype == DType::f32) {
      std::memcpy(&out[i], at + 4 * i, 4);
    } else {
      uint16_t half;
      std::memcpy(&half, at + 2 * i, 2);
      out[i] = dtype == DType::bf16 ? rng::from_bf16(half) : widen_f16(half);
    }
  }
}

void Tensor::read_bf16(size_t begin, size_t count, uint16_t* out) const {
  if (file && dtype == DType::bf16) {
    std::memcpy(out, stored(begin, count), count * sizeof(uint16_t));
    return;
  }
  constexpr size_t kPart = 1024;
  float part[kPart];
  for (size_t done = 0; done < count; done += kPart) {
    const size_t n = std::min(kPart, count - done);
    read(begin + done, n, part);
    for (size_t i = 0; i < n; i++) out[done + i] = rng::to_bf16(part[i]);
  }
}

const std::byte* Tensor::stored(size_t begin, size_t count) const {
  // The file may have been cut short since its header was checked; this guards the address, and a
  // file that shrinks while mapped is the operator's to avoid.
  const size_t first = offset + begin * size_of(dtype);
  if (begin + count > elements() || first + count * size_of(dtype) > file->size()) {
    fail("%s: tensor %s ends past the end of the file", file->path().c_str(), name.c_str());
  }
  return file->data() + first;
}

void Tensor::release() const {
  if (file) file->release(file->data() + offset, elements() * size_of(dtype));
}

}  // namespace proofmill
