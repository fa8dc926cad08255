// Rows of a table by their numbers, some of them dropped, and the way back. Row number r is element r of the mask: a word
// that is dropped is dropped wherever it occurs.
__device__ __forceinline__ bool row_is_kept(const Address& address, const Draw& draw, u64 row) {
  Drawn drawn = nothing_drawn();
  return !is_dropped(drawn, address, row, draw.hi, draw.lo);
}

// y[i] = where(keep of ids[i], table[ids[i]] * scale [+ shift], fill). A thread takes eight columns of a row.
template <class T> __global__ void __launch_bounds__(256, 3)
gather_rows(const typename T::Store* __restrict__ table, const i64* __restrict__ ids, typename T::Store* __restrict__ y, u64 count, u64 width,
            Map<typename T::Wide> map, Draw draw, const u32* __restrict__ keys, u32 key_count) {
  const u64 groups = (width + 7) >> 3;
  const Eight<T> filled = all_eight<T>(map.fill);
  const bool by_eight = aligned(table, y) && width % 8 == 0;
  FOR_EACH_KEY(k) {
    Address address = address_of(draw, keys, k);
    FOR_EACH_GROUP(task, 1, 0, count * groups) {
      u64 i = quotient(task, groups), column = 8 * (task - i * groups), id = ids[k * count + i];
      const typename T::Store* from = table + id * width;
      typename T::Store* to = y + (k * count + i) * width;
      const bool kept = row_is_kept(address, draw, id);
      if (by_eight) {
        Eight<T> values = filled;
        if (kept) values = dropped<T>(load_eight<T>(from + column), kept_from_bits(0xFF), filled, map);
        store_eight<T>(to + column, values);
      } else
        ONE_BY_ONE for (u64 c = column; c < least(column + 8, width); ++c)
          to[c] = kept ? T::narrow(mapped(T::widen(from[c]), map.scale, map)) : T::narrow(map.fill);
    }
  }
}

// The sum of column `column` over the rows of x that a segment names, in their order.
template <class T> __device__ __forceinline__ typename T::Wide column_sum(const typename T::Store* x, const i64* order, i64 start, i64 stop, u64 width, u64 column) {
  typename T::Wide sum = 0;
  ONE_BY_ONE for (i64 j = start; j < stop; ++j) sum = plus(sum, T::widen(x[order[j] * width + column]));
  return sum;
}

// out[numbers[s]] = where(keep of numbers[s], scale * the sum of the rows of x in segment s, 0). Every sum has one thread
// and one order: no atomics, the same bits each time.
template <class T> __global__ void __launch_bounds__(256, 3)
add_rows(const typename T::Store* __restrict__ x, const i64* __restrict__ order, const i64* __restrict__ starts, const i64* __restrict__ numbers,
         typename T::Store* __restrict__ out, u64 segments, u64 width, Map<typename T::Wide> map, Draw draw, const u32* __restrict__ keys) {
  const u64 groups = (width + 7) >> 3;
  const bool by_eight = aligned(x, out) && width % 8 == 0;
  Address address = address_of(draw, keys, 0);
  FOR_EACH_GROUP(task, 1, 0, segments * groups) {
    u64 s = quotient(task, groups), column = 8 * (task - s * groups), row = numbers[s];
    typename T::Store* to = out + row * width;
    i64 start = starts[s], stop = row_is_kept(address, draw, row) ? starts[s + 1] : start;  // the sum of nothing is 0
    if (by_eight) {
      typename T::Wide sums[8] = {0, 0, 0, 0, 0, 0, 0, 0};
      ONE_BY_ONE for (i64 j = start; j < stop; ++j) {
        Eight<T> values = load_eight<T>(x + order[j] * width + column);
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          sums[2 * i] = plus(sums[2 * i], T::first(values.pair[i]));
          sums[2 * i + 1] = plus(sums[2 * i + 1], T::second(values.pair[i]));
        }
      }
      Eight<T> result;
#pragma unroll
      for (int i = 0; i < 4; ++i) result.pair[i] = T::pair(times(sums[2 * i], map.scale), times(sums[2 * i + 1], map.scale));
      store_eight<T>(to + column, result);
    } else
      ONE_BY_ONE for (u64 c = column; c < least(column + 8, width); ++c)
        to[c] = T::narrow(times(column_sum<T>(x, order, start, stop, width, c), map.scale));
  }
}
