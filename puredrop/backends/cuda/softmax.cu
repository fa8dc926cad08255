// Softmax with dropout, a row to a block of threads: three passes over a row that stays in the cache. And its gradient.
struct Largest {
  template <class Wide> __device__ __forceinline__ Wide operator()(Wide a, Wide b) const { return a > b || a != a ? a : b; }  // NaN wins
};

struct Sum {
  template <class Wide> __device__ __forceinline__ Wide operator()(Wide a, Wide b) const { return a + b; }
};

// One number of all threads of the block, the same for each.
template <class Wide, class Join> __device__ __forceinline__ Wide reduced(Wide value, Join join) {
  __shared__ Wide of_warp[8];
  for (int lanes = 16; lanes; lanes >>= 1) value = join(value, __shfl_xor_sync(0xFFFFFFFFu, value, lanes));
  if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = value;
  __syncthreads();
  value = of_warp[0];
  for (u32 warp = 1; warp < blockDim.x / 32; ++warp) value = join(value, of_warp[warp]);
  __syncthreads();  // before the next reduction writes
  return value;
}

__device__ __forceinline__ float exponential(float x) { return expf(x); }
__device__ __forceinline__ double exponential(double x) { return exp(x); }

template <class T, class W> __global__ void __launch_bounds__(256, 3)
softmax_drop(const typename T::Store* __restrict__ x, typename T::Store* __restrict__ p, typename T::Store* __restrict__ y, u64 width,
             Map<typename T::Wide> map, Draw draw, const u32* __restrict__ keys, u32 key_count, const __grid_constant__ W where, const i64* __restrict__ rows,
             const u32* __restrict__ his, const u64* __restrict__ los) {
  typedef typename T::Wide Wide;
  const Wide lowest = -(Wide)__uint_as_float(0x7F800000u);
  FOR_EACH_KEY(k) {
    Address address = address_of(draw, keys, k);
    ONE_BY_ONE for (u64 row = blockIdx.x; row * width < where.size; row += gridDim.x) {
      const u64 start = k * where.size + row * width;
      Wide top = lowest, total = 0;
      ONE_BY_ONE for (u64 j = threadIdx.x; j < width; j += blockDim.x) top = Largest()(top, T::widen(x[start + j]));
      top = reduced(top, Largest());
      const Wide base = top == lowest ? 0 : top;  // a row of -inf sees nothing, and gives zeros
      ONE_BY_ONE for (u64 j = threadIdx.x; j < width; j += blockDim.x) total += exponential(T::widen(x[start + j]) - base);
      total = reduced(total, Sum());
      if (top == lowest) total = 1;
      ONE_BY_ONE for (u64 j = 8 * threadIdx.x; j < width; j += 8 * blockDim.x) {
        u32 count = (u32)least(8, width - j);
        u32 kept = kept_bits_at(where, rows, address, draw, his, los, row * width + j, count);
        ONE_BY_ONE for (u32 i = 0; i < count; ++i) {
          u64 at = start + j + i;
          typename T::Store weight = T::narrow(exponential(T::widen(x[at]) - base) / total);
          if (p) p[at] = weight;
          y[at] = T::narrow(kept >> i & 1u ? mapped(T::widen(weight), map.scale, map) : map.fill);
        }
      }
    }
  }
}

template <class T, class W> __global__ void __launch_bounds__(256, 3)
softmax_drop_grad(const typename T::Store* __restrict__ g, const typename T::Store* __restrict__ p, typename T::Store* __restrict__ dx, u64 width,
                  Map<typename T::Wide> map, Draw draw, const u32* __restrict__ keys, u32 key_count, const __grid_constant__ W where, const i64* __restrict__ rows,
                  const u32* __restrict__ his, const u64* __restrict__ los) {
  typedef typename T::Wide Wide;
  FOR_EACH_KEY(k) {
    Address address = address_of(draw, keys, k);
    ONE_BY_ONE for (u64 row = blockIdx.x; row * width < where.size; row += gridDim.x) {
      const u64 start = k * where.size + row * width;
      Wide mean = 0;  // of the gradient that reaches the weights, under the weights
      ONE_BY_ONE for (u64 j = 8 * threadIdx.x; j < width; j += 8 * blockDim.x) {
        u32 count = (u32)least(8, width - j);
        u32 kept = kept_bits_at(where, rows, address, draw, his, los, row * width + j, count);
        ONE_BY_ONE for (u32 i = 0; i < count; ++i) {
          u64 at = start + j + i;
          if (kept >> i & 1u) mean += T::widen(p[at]) * (T::widen(g[at]) * map.scale);
        }
      }
      mean = reduced(mean, Sum());
      ONE_BY_ONE for (u64 j = 8 * threadIdx.x; j < width; j += 8 * blockDim.x) {
        u32 count = (u32)least(8, width - j);
        u32 kept = kept_bits_at(where, rows, address, draw, his, los, row * width + j, count);
        ONE_BY_ONE for (u32 i = 0; i < count; ++i) {
          u64 at = start + j + i;
          Wide arriving = kept >> i & 1u ? T::widen(g[at]) * map.scale : 0;
          dx[at] = T::narrow(T::widen(p[at]) * (arriving - mean));
        }
      }
    }
  }
}
