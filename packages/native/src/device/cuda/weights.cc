#include "weights.h"

#include <algorithm>
#include <exception>
#include <thread>

#include "kernels.h"

namespace proofmill::cuda {

namespace {

// Of each of two buffers through which weights go up.
constexpr size_t kStagingBytes = size_t{32} << 20;
constexpr size_t kStagingThreads = 4;

}  // namespace

template <class T>
Linear WeightLoader<T>::pack(const std::vector<Tensor>& matrices,
                             const std::vector<Tensor>& biases) {
  size_t rows = 0;
  for (const Tensor& matrix : matrices) rows += matrix.shape[0];
  const size_t width = matrices[0].shape[1];
  Linear packed{rows, width, memory_.allocate(rows * padded(width) * sizeof(T)), {}};
  T* at = packed.packed.template as<T>();
  if (padded(width) != width) {
    PROOFMILL_CUDA(device_, cudaMemsetAsync(at, 0, packed.packed.bytes, device_.stream));
  }
  for (const Tensor& matrix : matrices) {
    upload_matrix(matrix, at);
    at += matrix.shape[0] * padded(width);
  }
  if (!biases.empty()) {
    packed.bias = memory_.allocate(rows * sizeof(T));
    std::vector<T> values(rows);
    T* bias = values.data();
    for (const Tensor& tensor : biases) {
      read(tensor, 0, tensor.elements(), bias);
      bias += tensor.elements();
    }
    memory_.copy_up(packed.bias.template as<T>(), values.data(), rows * sizeof(T));
  }
  return packed;
}

template <class T>
Linear WeightLoader<T>::pack_gate_up(const Tensor& gate, const Tensor& up) {
  const size_t width = gate.shape[1], groups = padded(gate.shape[0]) / 8;
  const size_t group = 8 * padded(width) * sizeof(T);  // bytes
  Linear packed{gate.shape[0], width, memory_.allocate(2 * groups * group), {}};
  const Buffer rows = memory_.allocate(groups * group);
  char* to = packed.packed.template as<char>();
  for (const Tensor* matrix : {&gate, &up}) {
    PROOFMILL_CUDA(device_, cudaMemsetAsync(rows.as<void>(), 0, rows.bytes, device_.stream));
    upload_matrix(*matrix, rows.as<T>());
    PROOFMILL_CUDA(device_, cudaMemcpy2DAsync(to, 2 * group, rows.as<void>(), group, group, groups,
                                              cudaMemcpyDeviceToDevice, device_.stream));
    to += group;
  }
  PROOFMILL_CUDA(device_, cudaStreamSynchronize(device_.stream));  // before `rows` goes
  return packed;
}

template <class T>
void WeightLoader<T>::read(const Tensor& tensor, size_t begin, size_t count, T* out) {
  if constexpr (sizeof(T) == 2) {
    tensor.read_bf16(begin, count, out);
  } else {
    tensor.read(begin, count, out);
  }
}

// Rows of a matrix, padded, to `to`: read into one pinned buffer while the other goes up.
template <class T>
void WeightLoader<T>::upload_matrix(const Tensor& matrix, T* to) {
  const size_t rows = matrix.shape[0], width = matrix.shape[1], stride = padded(width);
  if (!matrix.file && stride == width) {
    random_weights<T>(device_, matrix.seed, 0, rows * width, to);
    PROOFMILL_CUDA(device_, cudaStreamSynchronize(device_.stream));
    return;
  }
  const size_t rows_each = std::max<size_t>(1, kStagingBytes / (width * sizeof(T)));
  for (size_t row = 0, turn = 0; row < rows; row += rows_each, turn++) {
    const size_t count = std::min(rows_each, rows - row);
    Pinned& staging = staging_[turn % 2];
    if (turn >= 2) PROOFMILL_CUDA(device_, cudaEventSynchronize(copied_[turn % 2].event));
    staging.reserve(device_, rows_each * width * sizeof(T));
    T* values = staging.template as<T>();
    std::vector<std::thread> readers;
    std::exception_ptr error[kStagingThreads];
    for (size_t part = 0; part < kStagingThreads; part++) {
      const size_t first = count * part / kStagingThreads,
                   end = count * (part + 1) / kStagingThreads;
      readers.emplace_back([&, part, first, end] {
        try {
          read(matrix, (row + first) * width, (end - first) * width, values + first * width);
        } catch (...) {
          error[part] = std::current_exception();
        }
      });
    }
    for (std::thread& reader : readers) reader.join();
    cut_.show_progress();
    for (const std::exception_ptr& fault : error) {
      if (fault) std::rethrow_exception(fault);
    }
    PROOFMILL_CUDA(device_, cudaMemcpy2DAsync(to + row * stride, stride * sizeof(T), values,
                                              width * sizeof(T), width * sizeof(T), count,
                                              cudaMemcpyHostToDevice, device_.stream));
    PROOFMILL_CUDA(device_, cudaEventRecord(copied_[turn % 2].event, device_.stream));
  }
  PROOFMILL_CUDA(device_, cudaStreamSynchronize(device_.stream));
  matrix.release();
}

template class WeightLoader<bf16>;
template class WeightLoader<float>;

}  // namespace proofmill::cuda
