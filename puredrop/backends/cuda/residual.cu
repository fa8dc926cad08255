// Bias, dropout and residual in one pass: y = where(keep, (x + bias) * scale [+ shift], fill) + residual, rounded to T once.
template <class T> struct Join {
  const typename T::Store *bias, *residual;

  __device__ __forceinline__ typename T::Wide operator()(typename T::Wide x, typename T::Wide bias_here, typename T::Wide residual_here, bool kept,
                                                         const Map<typename T::Wide>& map) const {
    typename T::Wide y = mapped(bias ? plus(x, bias_here) : x, map.scale, map);
    y = kept ? y : map.fill;
    return residual ? plus(y, residual_here) : y;
  }
};

template <class T, class W> __global__ void __launch_bounds__(256, 3)
bias_drop_residual(const typename T::Store* __restrict__ x, const typename T::Store* __restrict__ bias, const typename T::Store* __restrict__ residual,
                   typename T::Store* __restrict__ y, u64 width, Map<typename T::Wide> map, Draw draw, const u32* __restrict__ keys, u32 key_count,
                   const __grid_constant__ W where, const i64* __restrict__ rows, const u32* __restrict__ his, const u64* __restrict__ los) {
  const Eight<T> none = all_eight<T>(0);
  const Join<T> join{bias, residual};
  FOR_EACH_KEY(k) {
    Address address = address_of(draw, keys, k);
    const typename T::Store *from = x + k * where.size, *other = residual ? residual + k * where.size : 0;
    typename T::Store* to = y + k * where.size;
    const u64 whole = aligned(from, to, other) && aligned(bias) && width % 8 == 0 ? where.size & ~7ull : 0;
    FOR_EACH_GROUP(first, 8, 0, whole) {
      Kept kept = kept_at(where, rows, address, draw, his, los, first);
      Eight<T> values = load_eight<T>(from + first), biases = none, others = none, out;
      if (bias) biases = load_eight<T>(bias + first - quotient(first, width) * width);
      if (other) others = load_eight<T>(other + first);
#pragma unroll
      for (int i = 0; i < 4; ++i)
        out.pair[i] = T::pair(
            join(T::first(values.pair[i]), T::first(biases.pair[i]), T::first(others.pair[i]), kept.w[i] & 0x8000u, map),
            join(T::second(values.pair[i]), T::second(biases.pair[i]), T::second(others.pair[i]), (int)kept.w[i] < 0, map));
      store_eight<T>(to + first, out);
    }
    FOR_EACH_GROUP(at, 1, whole, where.size) {
      const bool kept = one_at(where, rows, address, draw, his, los, at).kept;
      typename T::Wide bias_here = bias ? T::widen(bias[at - quotient(at, width) * width]) : 0, other_here = other ? T::widen(other[at]) : 0;
      to[at] = T::narrow(join(T::widen(from[at]), bias_here, other_here, kept, map));
    }
  }
}
