// The map of dropout: y = where(keep, x * scale [+ shift], fill). The gradient is the same map with the same draw.
template <class Wide> struct Map {
  Wide scale, shift, fill;
  u32 shifts;  // 0: no shift at all, for -0 + 0 would be +0
};

template <class Wide> __device__ __forceinline__ Wide mapped(Wide x, Wide scale, const Map<Wide>& map) {
  Wide y = times(x, scale);
  return map.shifts ? plus(y, map.shift) : y;
}

// Pairs are chosen by the signs in a word of Kept: bit by bit where a pair is one word.
template <class Pair> __device__ __forceinline__ Pair choose(u32 kept, Pair a, Pair b) {
  return Pair{kept & 0x8000u ? a.x : b.x, (int)kept < 0 ? a.y : b.y};
}

__device__ __forceinline__ u32 choose(u32 kept, u32 a, u32 b) {
  u32 mask = signs_of_halves(kept);
  return (a & mask) | (b & ~mask);
}

template <class T> __device__ __forceinline__ Eight<T> dropped(const Eight<T>& x, const Kept& kept, const Eight<T>& fill, const Map<typename T::Wide>& map) {
  Eight<T> y;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    typename T::Pair pair = T::pair(mapped(T::first(x.pair[i]), map.scale, map), mapped(T::second(x.pair[i]), map.scale, map));
    y.pair[i] = choose(kept.w[i], pair, fill.pair[i]);
  }
  return y;
}

// Whole groups of eight, at one key, whose part of the arrays begins at `base`.
template <class T, class W>
__device__ __forceinline__ void drop_by_eight(const typename T::Store* x, typename T::Store* y, const typename T::Store* fill, u8* bits, u64 base,
                                              const Map<typename T::Wide>& map, const Address& address, const Draw& draw, const W& where,
                                              const i64* rows, const u32* his, const u64* los, u64 whole) {
  const Eight<T> filled = all_eight<T>(map.fill);
  FOR_EACH_GROUP(first, 8, 0, whole) {
    Kept kept = kept_at(where, rows, address, draw, his, los, first);
    Eight<T> others = filled;
    if (fill) others = load_eight<T>(fill + base + first);
    store_eight<T>(y + base + first, dropped<T>(load_eight<T>(x + base + first), kept, others, map));
    if (bits) bits[first >> 3] = bits_of(kept);
  }
}

// The same where nothing is asked for but dropout: no shift, no array to fill with, no bits, one key. It is what most
// launches are, and without the questions it takes a tenth fewer instructions. COUNT groups, `step` elements apart, are
// loaded before anything is drawn for them.
template <class T, int COUNT, class W>
__device__ __forceinline__ void drop_groups(const typename T::Store* x, typename T::Store* y, const Eight<T>& filled, const Map<typename T::Wide>& map,
                                            const Draw& draw, const W& where, u64 first, u64 step) {
  Eight<T> values[COUNT];
#pragma unroll
  for (int i = 0; i < COUNT; ++i) values[i] = load_eight<T>(x + first + i * step);
#pragma unroll
  for (int i = 0; i < COUNT; ++i) {
    Kept kept = kept_at(where, 0, draw, draw, 0, 0, first + i * step);
    store_eight<T>(y + first + i * step, dropped<T>(values[i], kept, filled, map));
  }
}

// A thread must have 32 bytes under way, or the memory of an H200 waits for it: two groups of 16-bit elements.
template <class T, class W>
__device__ __forceinline__ void drop_plainly(const typename T::Store* x, typename T::Store* y, Map<typename T::Wide> map, const Draw& draw,
                                             const W& where, u64 whole) {
  const int COUNT = sizeof(Eight<T>) < 32 ? 2 : 1;
  map.shifts = 0;
  const Eight<T> filled = all_eight<T>(map.fill);
  const u64 step = 8 * threads_in_all();
  u64 first = 8 * thread_number();
  ONE_BY_ONE for (; first + (COUNT - 1) * step < whole; first += COUNT * step) drop_groups<T, COUNT>(x, y, filled, map, draw, where, first, step);
  if (COUNT == 2 && first < whole) drop_groups<T, 1>(x, y, filled, map, draw, where, first, step);
}

template <class T, class W> __global__ void __launch_bounds__(256, W::WHOLE_BLOCKS ? 4 : 3)
drop(const typename T::Store* __restrict__ x, typename T::Store* __restrict__ y, const typename T::Store* __restrict__ fill, u8* __restrict__ bits,
     const typename T::Wide* __restrict__ scales, Map<typename T::Wide> map, Draw draw, const u32* __restrict__ keys, u32 key_count,
     const __grid_constant__ W where, const i64* __restrict__ rows, const u32* __restrict__ his, const u64* __restrict__ los) {
  if (bits) bits += blockIdx.y * ((where.size + 7) >> 3);
  FOR_EACH_KEY(k) {
    const u64 base = k * where.size;
    const u64 whole = aligned(x + base, y + base, fill ? fill + base : 0) && !scales ? where.size & ~7ull : 0;
    Address address = address_of(draw, keys, k);
    if (W::WHOLE_BLOCKS && !fill && !bits && !map.shifts && !keys)
      drop_plainly<T>(x, y, map, draw, where, whole);
    else
      drop_by_eight<T>(x, y, fill, bits, base, map, address, draw, where, rows, his, los, whole);
    FOR_EACH_GROUP(first, 8, whole, where.size) {
      u32 kept = 0;
      ONE_BY_ONE for (u64 i = first; i < least(first + 8, where.size); ++i) {
        One one = one_at(where, rows, address, draw, his, los, i);
        typename T::Store lost = fill ? fill[base + i] : T::narrow(map.fill);
        y[base + i] = one.kept ? T::narrow(mapped(T::widen(x[base + i]), scale_at(where, scales, one.rate, map.scale), map)) : lost;
        kept |= (u32)one.kept << (i - first);
      }
      if (bits) bits[first >> 3] = kept;
    }
    if (bits) bits += gridDim.y * ((where.size + 7) >> 3);
  }
}

// The same map with a mask that was saved, one bit an element.
template <class T> __global__ void __launch_bounds__(256, 3)
drop_saved(const typename T::Store* __restrict__ x, typename T::Store* __restrict__ y, const typename T::Store* __restrict__ fill,
           const u8* __restrict__ bits, u64 size, u32 key_count, Map<typename T::Wide> map) {
  const Eight<T> filled = all_eight<T>(map.fill);
  FOR_EACH_KEY(k) {
    const typename T::Store *from = x + k * size, *other = fill ? fill + k * size : 0;
    typename T::Store* to = y + k * size;
    const u8* saved = bits + k * ((size + 7) >> 3);
    const u64 whole = aligned(from, to, other) ? size & ~7ull : 0;
    FOR_EACH_GROUP(first, 8, 0, whole) {
      Eight<T> others = filled;
      if (other) others = load_eight<T>(other + first);
      store_eight<T>(to + first, dropped<T>(load_eight<T>(from + first), kept_from_bits(saved[first >> 3]), others, map));
    }
    FOR_EACH_GROUP(at, 1, whole, size) {
      typename T::Store lost = other ? other[at] : T::narrow(map.fill);
      to[at] = saved[at >> 3] >> (at & 7) & 1u ? T::narrow(mapped(T::widen(from[at]), map.scale, map)) : lost;
    }
  }
}
