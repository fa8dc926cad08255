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

template <class T, class W> __global__ void __launch_bounds__(256)
drop(const typename T::Store* __restrict__ x, typename T::Store* __restrict__ y, const typename T::Store* __restrict__ fill, u8* __restrict__ bits,
     const typename T::Wide* __restrict__ scales, Map<typename T::Wide> map, Draw draw, const u32* __restrict__ keys, u32 key_count, const __grid_constant__ W where,
     const i64* __restrict__ rows, const u32* __restrict__ his, const u64* __restrict__ los) {
  const Eight<T> filled = all_eight<T>(map.fill);
  FOR_EACH_KEY(k) {
    Address address = address_of(draw, keys, k);
    const typename T::Store *from = x + k * where.size, *other = fill ? fill + k * where.size : 0;
    typename T::Store* to = y + k * where.size;
    const bool by_eight = aligned(from, to, other) && !scales;
    FOR_EACH_GROUP(first, 8, where.size) {
      u32 count = (u32)least(8, where.size - first);
      Kept kept = kept_at(where, rows, address, draw, his, los, first, count);
      if (bits) bits[k * ((where.size + 7) >> 3) + (first >> 3)] = bits_of(kept) & 0xFFu >> (8 - count);
      if (by_eight && count == 8) {
        Eight<T> others = other ? load_eight<T>(other + first) : filled;
        store_eight<T>(to + first, dropped<T>(load_eight<T>(from + first), kept, others, map));
      } else {
        u32 kept_bits = bits_of(kept);
        ONE_BY_ONE for (u32 i = 0; i < count; ++i) {
          typename T::Wide scale = scales ? scales[rate_at(where, first + i)] : map.scale;
          typename T::Store lost = other ? other[first + i] : T::narrow(map.fill);
          to[first + i] = kept_bits >> i & 1u ? T::narrow(mapped(T::widen(from[first + i]), scale, map)) : lost;
        }
      }
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
    const bool by_eight = aligned(from, to, other);
    FOR_EACH_GROUP(first, 8, size) {
      u32 count = (u32)least(8, size - first), kept = bits[k * ((size + 7) >> 3) + (first >> 3)];
      if (by_eight && count == 8) {
        Eight<T> others = other ? load_eight<T>(other + first) : filled;
        store_eight<T>(to + first, dropped<T>(load_eight<T>(from + first), kept_from_bits(kept), others, map));
      } else
        ONE_BY_ONE for (u32 i = 0; i < count; ++i)
          to[first + i] = kept >> i & 1u   ? T::narrow(mapped(T::widen(from[first + i]), map.scale, map))
                          : other ? other[first + i]
                                  : T::narrow(map.fill);
    }
  }
}
