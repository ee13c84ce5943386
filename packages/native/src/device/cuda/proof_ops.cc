#include "proof_ops.h"

#include "kernels.h"

namespace proofmill::cuda {

template <class T>
void CudaProofOps<T>::inputs(const Inputs& of, float* x) {
  cuda::inputs<T>(device_, of, x);
}

template <class T>
void CudaProofOps<T>::distances(const Distances& of, float* out) {
  double* partial =
      graphs_.grown<double>(partial_, of.rows * (distance_parts(device_, of.vocab) + 1));
  cuda::distances(device_, of.logits, of.stride, of.rows, of.vocab, of.permutation_seeds, of.target,
                  of.target_norm_squared, partial, out);
}

template <class T>
void CudaProofOps<T>::artifacts(const Artifacts& of, float* out) {
  cuda::artifacts(device_, of, out);
}

template <class T>
std::vector<uint32_t> CudaProofOps<T>::permutation(uint32_t seed, size_t n) {
  return fault_.guard([&] {
    const Buffer device_seed = memory_.allocate(sizeof seed);
    const Buffer order = memory_.allocate(n * sizeof(uint32_t));
    memory_.copy_up(device_seed.as<uint32_t>(), &seed, sizeof seed);
    cuda::permutation(device_, device_seed.as<uint32_t>(), n, order.as<uint32_t>());
    std::vector<uint32_t> out(n);
    PROOFMILL_CUDA(device_, cudaMemcpyAsync(out.data(), order.as<uint32_t>(), n * sizeof(uint32_t),
                                            cudaMemcpyDeviceToHost, device_.stream));
    PROOFMILL_CUDA(device_, cudaStreamSynchronize(device_.stream));
    return out;
  });
}

template class CudaProofOps<bf16>;
template class CudaProofOps<float>;

}  // namespace proofmill::cuda
