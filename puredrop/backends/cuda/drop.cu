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

// Whole groups of eight, at one key.
template <class T, class W, class A> __device__ __forceinline__ void drop_by_eight(const typename T::Store* from, typename T::Store* to, const typename T::Store* other,
                                                                          u8* bits, const Map<typename T::Wide>& map, const A& address,
                                                                          const Draw& draw, const W& where, const i64* rows, const u32* his,
                                                                          const u64* los, u64 whole) {
  const Eight<T> filled = all_eight<T>(map.fill);
  FOR_EACH_GROUP(first, 8, 0, whole) {
    Kept kept = kept_at(where, rows, address, draw, his, los, first);
    Eight<T> others = filled;
    if (other) others = load_eight<T>(other + first);
    store_eight<T>(to + first, dropped<T>(load_eight<T>(from + first), kept, others, map));
    if (bits) bits[first >> 3] = bits_of(kept);
  }
}

template <class T, class W> __global__ void __launch_bounds__(256)
drop(const typename T::Store* __restrict__ x, typename T::Store* __restrict__ y, const typename T::Store* __restrict__ fill, u8* __restrict__ bits,
     const typename T::Wide* __restrict__ scales, Map<typename T::Wide> map, Draw draw, const u32* __restrict__ keys, u32 key_count,
     const __grid_constant__ W where, const i64* __restrict__ rows, const u32* __restrict__ his, const u64* __restrict__ los) {
  FOR_EACH_KEY(k) {
    const typename T::Store *from = x + k * where.size, *other = fill ? fill + k * where.size : 0;
    typename T::Store* to = y + k * where.size;
    u8* save = bits ? bits + k * ((where.size + 7) >> 3) : 0;
    const u64 whole = aligned(from, to, other) && !scales ? where.size & ~7ull : 0;
    Address address = address_of(draw, keys, k);
    if (keys)
      drop_by_eight<T>(from, to, other, save, map, address, draw, where, rows, his, los, whole);
    else
      drop_by_eight<T>(from, to, other, save, map, draw, draw, where, rows, his, los, whole);
    FOR_EACH_GROUP(first, 8, whole, where.size) {
      u32 kept = 0;
      ONE_BY_ONE for (u64 at = first; at < least(first + 8, where.size); ++at) {
        One one = one_at(where, rows, address, draw, his, los, at);
        typename T::Store lost = other ? other[at] : T::narrow(map.fill);
        to[at] = one.kept ? T::narrow(mapped(T::widen(from[at]), scales ? scales[one.rate] : map.scale, map)) : lost;
        kept |= (u32)one.kept << (at - first);
      }
      if (save) save[first >> 3] = kept;
    }
  }
}

// The same map with a mask that was saved, one bit an element.
template <class T> __global__ void __launch_bounds__(256)
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
